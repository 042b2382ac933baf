"""What a dataset and a student are made of, where that is not all that a run accepted."""
