"""The scenes of the training tests."""

from tests.test_train.conftest import scenes

__all__ = ['scenes']
