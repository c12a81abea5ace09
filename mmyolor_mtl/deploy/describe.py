"""Collect what a runtime must know about a network."""

from typing import Any

from mmyolor_mtl.apis import MTLInferencer
from mmyolor_mtl.datasets.transforms import Letterbox, PackMTLInputs
from mmyolor_mtl.models.heads import RegionCaptionHead
from mmyolor_mtl.models.heads.base_caption_head import SEARCH_KEYS
from mmyolor_mtl.postprocess import REFERENCE_RULE
from mmyolor_mtl.version import __version__

from .description import FORMAT
from .graphs import CaptionStep, memory_names

_META_KEYS = (
    'classes',
    'thing_ids',
    'palette',
    'stuff_classes',
    'stuff_ids',
    'stuff_palette',
    'extra_classes',
    'panoptic_stuff',
)


def describe(inferencer: MTLInferencer) -> dict[str, Any]:
    """Description of a network, ready for JSON.

    Raises:
        ValueError: The network, or how its config uses it, cannot be exported; the message says what.
    """
    model = inferencer.model
    heads = model.heads
    panoptic = model.test_cfg['panoptic'] if 'pan' in model.tasks else None
    return _plain(
        {
            'format': FORMAT,
            'version': __version__,
            'tasks': model.tasks,
            'dataset_meta': {key: inferencer.dataset_meta[key] for key in _META_KEYS if key in inferencer.dataset_meta},
            'letterbox': _letterbox(inferencer.pipeline.transforms),
            'input': _input(model.data_preprocessor),
            'detection': _detection(heads['det'].test_cfg) if 'det' in heads else None,
            'masks': {'stride': heads['ins'].mask_stride} if 'ins' in heads else None,
            'semantic': {'stride': heads['sem'].out_stride} if 'sem' in heads else None,
            'panoptic': None if panoptic is None else {**REFERENCE_RULE, **panoptic},
            'caption': _caption(heads['cap']) if 'cap' in heads else None,
        }
    )


def _letterbox(transforms: Any) -> dict[str, Any]:
    steps = [step for step in transforms if not isinstance(step, PackMTLInputs)]
    if len(steps) != 1 or not isinstance(steps[0], Letterbox):
        names = [type(step).__name__ for step in steps]
        raise ValueError(
            f'only test pipelines that prepare pictures by one Letterbox can be exported, this has {names}'
        )
    step = steps[0]
    return {key: getattr(step, key) for key in ('scale', 'allow_scale_up', 'pad_val', 'area_shrink')}


def _input(preprocessor: Any) -> dict[str, Any]:
    if preprocessor.pad_size_divisor % 32:
        raise ValueError(
            f'pad_size_divisor={preprocessor.pad_size_divisor} of the data preprocessor: give a multiple of 32'
        )
    return {
        'mean': preprocessor.mean.flatten().tolist(),
        'std': preprocessor.std.flatten().tolist(),
        'swap_channels': preprocessor._channel_conversion,
        'divisor': preprocessor.pad_size_divisor,
        'pad_value': preprocessor.pad_value,
    }


def _detection(test_cfg: dict[str, Any]) -> dict[str, Any]:
    nms = dict(test_cfg['nms'] or {})
    kind, threshold = nms.pop('type', 'nms'), nms.pop('iou_threshold', None)
    agnostic = nms.pop('class_agnostic', False)
    if nms or kind != 'nms' or (test_cfg['nms'] is not None and threshold is None):
        raise ValueError(
            f'only nms=dict(type="nms", iou_threshold=..., class_agnostic=...) can be exported, got {test_cfg["nms"]}'
        )
    rules = {key: test_cfg[key] for key in ('score_thr', 'nms_pre', 'max_per_img')}
    return {**rules, 'iou_threshold': threshold, 'class_agnostic': agnostic}


def _caption(head: Any) -> dict[str, Any]:
    if head.test_cfg['top_p'] is not None:
        raise ValueError(
            'captions that are drawn at random cannot be exported: take top_p out of model.heads.cap.test_cfg'
        )
    layers, heads, channels = CaptionStep(head).cache_shape
    search = {**head.rules, **{key: head.test_cfg[key] for key in SEARCH_KEYS}, 'bos_id': head.special_ids['bos_id']}
    return {
        'takes_region': not isinstance(head, RegionCaptionHead),
        'memory': memory_names(head),
        'cache': {'layers': layers, 'heads': heads, 'channels': channels},
        'search': search,
        'vocabulary': None if head.tokenizer is None else head.tokenizer.decoding_state(),
    }


def _plain(value: Any) -> Any:
    """The same in what JSON has: dicts, lists, numbers, strings."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, 'item') else value
