"""The version of tinygen, for people, for its package, and for the files that it writes."""

__version__ = "0.1.0"
