from .elan import ELANBackbone

__all__ = ['ELANBackbone']
