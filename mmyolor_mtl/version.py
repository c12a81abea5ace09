"""The version of the package; mim reads it from this file."""

__version__ = '0.1.0'
