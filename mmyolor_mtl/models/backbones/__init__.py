"""Trunks: C3, C4, C5 of a picture, and the branch that exists while training only."""

from .elan import ELANBackbone
from .gelan import GELANBackbone
from .gelan_auxiliary import GELANAuxiliaryBranch

__all__ = ['ELANBackbone', 'GELANAuxiliaryBranch', 'GELANBackbone']
