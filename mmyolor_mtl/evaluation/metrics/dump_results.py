"""Predictions of an evaluation as a pickle, for mmdet's analysis tools."""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.evaluation import DumpDetResults
from torch import Tensor

from mmyolor_mtl.registry import METRICS


@METRICS.register_module()
class DumpMTLResults(DumpDetResults):
    """mmdet's ``DumpDetResults``, which also takes masks that are run lengths already, and keeps maps small.

    Semantic and panoptic maps get the smallest integers that hold them: together mostly 5 bytes a pixel instead of 16.

    Args:
        out_file_path (str): File to write, .pkl or .pickle.
        collect_device (str): Where ranks exchange results, 'cpu' or 'gpu'.
    """

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the samples of a batch, without ground truth, masks as COCO RLE.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): Samples; ``pred_instances.masks`` is (K, H, W) bool or a list of K RLE dicts.
        """
        for sample in data_samples:
            instances = sample.get('pred_instances') or {}
            masks = instances.get('masks')
            if isinstance(masks, list):
                instances = {name: value for name, value in instances.items() if name != 'masks'}
                sample = {**sample, 'pred_instances': instances}
            super().process(data_batch, [sample])
            kept = self.results[-1]
            if isinstance(masks, list):
                kept['pred_instances']['masks'] = masks
            for name in ('gt_sem_seg', 'pred_sem_seg', 'pred_panoptic_seg'):
                if name in kept:
                    kept[name] = {**kept[name], 'sem_seg': _shrink(kept[name]['sem_seg'])}


def _shrink(values: Tensor) -> Tensor:
    """The same numbers, none negative, in fewer bytes."""
    most = int(values.max()) if values.numel() else 0
    kinds = (torch.uint8, torch.int16, torch.int32)
    return values.to(next((kind for kind in kinds if most <= torch.iinfo(kind).max), values.dtype))
