"""The Advanced Agent Runner."""

__version__ = "0.1.0"
