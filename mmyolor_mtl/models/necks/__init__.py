from .elan_pafpn import ELANPAFPN

__all__ = ['ELANPAFPN']
