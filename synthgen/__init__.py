"""synthgen: a handful of seeds in, a training set and a trained student out."""

__version__ = "0.1.0"
