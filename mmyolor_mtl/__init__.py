"""One compact network, four tasks, inside OpenMMLab (arXiv 2309.16921).

Importing the package is cheap on purpose: mmengine imports it to read a config, so nothing here touches torch.
The registries import what they need the first time they are asked (see :mod:`mmyolor_mtl.registry`).
"""

from .utils.compat import check_stack, register_config_scope
from .version import __version__

__all__ = ['__version__']

check_stack()
register_config_scope()
