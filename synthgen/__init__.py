"""Turn a handful of seed samples into a training set and a trained student model."""

__version__ = "0.1.0"
