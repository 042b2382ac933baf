"""Select the accepted samples that the dataset and the student use."""
