"""The version of xfeat, stated once."""

__version__ = "0.1.0"
