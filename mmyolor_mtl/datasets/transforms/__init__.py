"""Transforms of the joint pipeline: strong view for vision, weak view for captions."""

from .caption import CaptionView, TokenizeCaption
from .color import HSVJitter
from .copy_paste import MTLCopyPaste
from .filters import RandomFilters
from .formatting import PackMTLInputs
from .geometric import Letterbox, MTLRandomAffine, MTLRandomFlip
from .loading import LoadMTLAnnotations
from .mixup import MTLMixUp
from .mosaic import MTLMosaic

__all__ = [
    'CaptionView',
    'HSVJitter',
    'Letterbox',
    'LoadMTLAnnotations',
    'MTLCopyPaste',
    'MTLMixUp',
    'MTLMosaic',
    'MTLRandomAffine',
    'MTLRandomFlip',
    'PackMTLInputs',
    'RandomFilters',
    'TokenizeCaption',
]
