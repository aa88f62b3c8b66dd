"""The version of tinygen. The package and the files that tinygen writes take it from here."""

__version__ = "0.1.0"
