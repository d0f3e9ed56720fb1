"""Transfer-learning scaling studies: which pre-training data is worth it."""

__version__ = "0.1.0"
