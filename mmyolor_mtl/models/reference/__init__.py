"""Checkpoints of the released implementations, read without running their code, both ways."""

from .convert import from_reference, to_reference
from .keys import reference_prefixes
from .unpickle import read_checkpoint

__all__ = ['from_reference', 'read_checkpoint', 'reference_prefixes', 'to_reference']
