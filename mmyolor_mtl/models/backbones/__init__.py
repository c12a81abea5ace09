from .elan import ELANBackbone
from .gelan import GELANBackbone
from .gelan_auxiliary import GELANAuxiliaryBranch

__all__ = ['ELANBackbone', 'GELANAuxiliaryBranch', 'GELANBackbone']
