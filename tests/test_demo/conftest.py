"""The tiny trained network of the inferencer's tests."""

from ..test_apis.conftest import scenes, trained

__all__ = ['scenes', 'trained']
