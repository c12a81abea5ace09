"""From arrays to the sample that models, metrics and MMDetection's tools take."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData

from mmyolor_mtl.registry import TRANSFORMS

from ..label_space import UNLABELLED
from .labels import layers_of, takes_mmdet_labels
from .polygons import FlatPolygons
from .tiles import draw_deferred

META_KEYS = (
    'img_id',
    'img_path',
    'ori_shape',
    'img_shape',
    'scale_factor',
    'pad_param',
    'flip',
    'flip_direction',
    'labelled_tasks',
    'caption_region',
)
_DEFAULTS = {'scale_factor': (1.0, 1.0), 'flip': False, 'flip_direction': None}


@TRANSFORMS.register_module()
class PackMTLInputs(BaseTransform):
    """Pack image, caption view and labels as ``{'inputs', 'data_samples'}``.

    ``inputs`` is the image, (3, H, W) uint8 BGR. The ``DetDataSample`` holds, as far as the image is labelled:

    - ``gt_instances`` (always): ``bboxes`` (N, 4) float32 xyxy px, ``labels`` (N,), ``masks`` PolygonMasks;
      crowds go to ``ignored_instances``;
    - ``gt_sem_seg.sem_seg``: (L, H, W) uint8 contiguous ids, 255 = unlabelled; L = 2 after mixup, else 1;
    - ``gt_captions`` list[str], ``gt_caption_ids`` (K, T) int64, ``caption_view`` (3, h, w) uint8 BGR.

    If the labels live on the network's canvas (annotations loaded before any resizing), there are also the targets of
    the losses, at ``1 / s`` of the size:

    - ``gt_mask_targets``: (N, H/s, W/s) uint8, in the order of ``gt_instances``. A cell is set when its centre lies in
      the mask; an instance too thin for any centre gets the one cell under the middle of its box.
    - ``gt_sem_target``: (L, H/s, W/s) uint8, the pixel at the middle of each cell (row and column ``s // 2`` of it).

    Args:
        mask_stride (int): Stride s of the targets, px.
        sem_stride (int, optional): Stride s of the semantic target where it is another: ``out_stride`` of the head.
        meta_keys (Sequence[str]): Keys copied into the metainfo, if the sample has them.

    Raises:
        ValueError: A stride is below 1, or the canvas is no multiple of it.
    """

    def __init__(
        self, mask_stride: int = 4, sem_stride: int | None = None, meta_keys: Sequence[str] = META_KEYS
    ) -> None:
        self.mask_stride = mask_stride
        self.sem_stride = mask_stride if sem_stride is None else sem_stride
        for name in ('mask_stride', 'sem_stride'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name}={getattr(self, name)} must be at least 1')
        self.meta_keys = tuple(meta_keys)

    @takes_mmdet_labels
    def transform(self, results: dict) -> dict:
        """Build the packed sample."""
        draw_deferred(results)
        sample = DetDataSample(metainfo=self._metainfo(results))
        self._pack_instances(results, sample)
        if 'gt_seg_map' in results:
            maps = torch.from_numpy(np.ascontiguousarray(layers_of(results['gt_seg_map'])))
            sample.gt_sem_seg = PixelData(metainfo={'ignore_index': UNLABELLED}, sem_seg=maps)
        if results.get('gt_space') == 'network':
            self._pack_targets(results, sample)
        if results.get('captions'):
            sample.gt_captions = list(results['captions'])
        if 'gt_caption_ids' in results:
            sample.gt_caption_ids = torch.from_numpy(results['gt_caption_ids'])
        if 'caption_view' in results:
            sample.caption_view = _to_chw(results['caption_view'])
        return {'inputs': _to_chw(results['img']), 'data_samples': sample}

    def _metainfo(self, results: dict) -> dict:
        known = {**_DEFAULTS, **results}
        meta = {key: known[key] for key in self.meta_keys if key in known}
        for key in ('ori_shape', 'img_shape'):
            if key in meta:
                meta[key] = tuple(meta[key][:2])
        return meta

    @staticmethod
    def _pack_instances(results: dict, sample: DetDataSample) -> None:
        boxes = results.get('gt_bboxes', np.zeros((0, 4), dtype=np.float32))
        labels = results.get('gt_bboxes_labels', np.zeros(0, dtype=np.int64))
        crowd = results.get('gt_ignore_flags', np.zeros(0, dtype=bool))
        for name, chosen in (('gt_instances', ~crowd), ('ignored_instances', crowd)):
            data = InstanceData(bboxes=torch.from_numpy(boxes[chosen]), labels=torch.from_numpy(labels[chosen]))
            if 'gt_masks' in results:
                data.masks = results['gt_masks'][np.flatnonzero(chosen)]
            setattr(sample, name, data)

    def _pack_targets(self, results: dict, sample: DetDataSample) -> None:
        height, width = results['img'].shape[:2]
        for name, stride in (('mask_stride', self.mask_stride), ('sem_stride', self.sem_stride)):
            if height % stride or width % stride:
                raise ValueError(f'image of {width} x {height} px is no multiple of {name}={stride}: change img_scale')
        if 'gt_masks' in results:
            polygons = FlatPolygons.from_masks(sample.gt_instances.masks)
            sample.gt_mask_targets = torch.from_numpy(polygons.rasterize(height, width, self.mask_stride))
        if 'gt_seg_map' in results:
            start = self.sem_stride // 2
            layers = layers_of(results['gt_seg_map'])[:, start :: self.sem_stride, start :: self.sem_stride]
            sample.gt_sem_target = torch.from_numpy(np.ascontiguousarray(layers))

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(mask_stride={self.mask_stride}, sem_stride={self.sem_stride}, '
            f'meta_keys={self.meta_keys})'
        )


def _to_chw(image: np.ndarray) -> torch.Tensor:
    planes = np.empty((3, *image.shape[:2]), dtype=np.uint8)
    cv2.split(image, list(planes))  # ten times as fast as a transposed copy
    return torch.from_numpy(planes)
