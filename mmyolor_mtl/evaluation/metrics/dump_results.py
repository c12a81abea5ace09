"""Predictions of an evaluation as a pickle, for mmdet's analysis tools."""

from collections.abc import Sequence
from typing import Any

from mmdet.evaluation import DumpDetResults

from mmyolor_mtl.registry import METRICS


@METRICS.register_module()
class DumpMTLResults(DumpDetResults):
    """mmdet's ``DumpDetResults``, which also takes masks that are run lengths already.

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
            if not isinstance(masks, list):
                super().process(data_batch, [sample])
                continue
            others = {name: value for name, value in instances.items() if name != 'masks'}
            super().process(data_batch, [{**sample, 'pred_instances': others}])
            self.results[-1]['pred_instances']['masks'] = masks
