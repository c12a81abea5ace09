"""Feature pyramids between trunk and heads."""

from .elan_pafpn import ELANPAFPN
from .gelan_pafpn import GELANPAFPN

__all__ = ['ELANPAFPN', 'GELANPAFPN']
