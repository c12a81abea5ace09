"""Exported networks: written with torch (:mod:`mmyolor_mtl.deploy.export`), run without it.

Importing this package needs numpy and OpenCV only; a runtime is imported when a network is loaded.
"""

from .inferencer import OnnxInferencer

__all__ = ['OnnxInferencer']
