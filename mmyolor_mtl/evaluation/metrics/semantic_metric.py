"""Semantic segmentation: mean IoU over things and stuff."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from mmseg.evaluation import IoUMetric
from prettytable import PrettyTable

from mmyolor_mtl.registry import METRICS

from .common import is_labelled, require, to_map, unique_images, warn_unlabelled


@METRICS.register_module()
class SemanticMetric(IoUMetric):
    """mIoU, pixel accuracies and frequency-weighted IoU over all thing and stuff classes (REFERENCE_SPEC 6.4).

    Class counts and names come from ``dataset_meta`` (``classes`` then ``stuff_classes``). Pixels whose ground truth is
    255 or an extra class ('other', 'unlabeled') are left out; predicting an extra class on a labelled pixel is always
    wrong. Classes absent from both the ground truth and the predictions do not count.

    Figures, in 0..1: ``mIoU``, ``aAcc`` (share of right pixels), ``mAcc`` (mean recall), ``FWIoU``, ``mIoU_things``,
    ``mIoU_stuff`` (each of these two only if one of its classes occurs). Samples whose ``labelled_tasks`` lack 'sem'
    are skipped; without any other sample the result is empty, with a warning.

    Args:
        per_class (bool): Also log a table of every class.
        collect_device (str): Where ranks exchange results, 'cpu' or 'gpu'.
        prefix (str, optional): Prefix of the figures. Defaults to 'sem'.
    """

    default_prefix = 'sem'

    def __init__(self, per_class: bool = False, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.per_class = per_class

    @property
    def class_names(self) -> list[str]:
        """Names of the evaluated classes, things first."""
        return [*self.dataset_meta['classes'], *self.dataset_meta.get('stuff_classes', ())]

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): Samples with ``gt_sem_seg`` and ``pred_sem_seg``, ``sem_seg`` (1, H, W) each.

        Raises:
            ValueError: A labelled sample lacks one of the two, or they differ in size.
        """
        for sample in data_samples:
            counts = None
            if is_labelled(sample, 'sem', 'gt_sem_seg'):
                counts = self._count(sample)
            # One result per sample, labelled or not: gathering drops the samplers' padding by position.
            self.results.append((sample.get('img_id'), counts))

    def _count(self, sample: dict) -> np.ndarray:
        name, img_id = type(self).__name__, sample.get('img_id')
        pred = require(sample, 'pred_sem_seg', name, 'the model predicts no semantic map, remove the metric')
        target = require(sample, 'gt_sem_seg', name, 'the pipeline loads no semantic map')
        pred_map = torch.from_numpy(to_map(pred, 'pred_sem_seg', img_id))
        gt_map = torch.from_numpy(to_map(target, 'gt_sem_seg', img_id))
        if pred_map.shape != gt_map.shape:
            raise ValueError(
                f'{name}: image {img_id}: the prediction is {tuple(pred_map.shape)}, the semantic map '
                f'{tuple(gt_map.shape)} (H, W); both must have the size of the original image'
            )
        num_classes = len(self.class_names)
        gt_map[gt_map >= num_classes] = self.ignore_index
        intersect, _, of_pred, of_gt = self.intersect_and_union(pred_map, gt_map, num_classes, self.ignore_index)
        return torch.stack([intersect, of_pred, of_gt]).numpy().astype(np.int64)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Sum the counts and turn them into figures.

        Args:
            results (list): Pairs of image id and (3, classes) pixel counts: right, predicted, true.

        Returns:
            dict[str, float]: The figures, in 0..1.
        """
        counts = [count for _, count in unique_images(results) if count is not None]
        if not counts or not np.sum(counts, axis=0)[2].any():
            warn_unlabelled(type(self).__name__, 'sem')
            return {}
        intersect, of_pred, of_gt = torch.from_numpy(np.sum(counts, axis=0)).double()
        union = of_pred + of_gt - intersect
        areas = self.total_area_to_metrics(intersect, union, of_pred, of_gt, ['mIoU'])
        iou, accuracy = areas['IoU'], areas['Acc']
        if self.per_class:
            self._log_classes(iou, accuracy)

        metrics = {
            'mIoU': np.nanmean(iou),
            'aAcc': areas['aAcc'],
            'mAcc': np.nanmean(accuracy),
            'FWIoU': np.nansum(iou * of_gt.numpy()) / of_gt.sum().item(),
        }
        num_things = len(self.dataset_meta['classes'])
        for name, values in (('mIoU_things', iou[:num_things]), ('mIoU_stuff', iou[num_things:])):
            if not np.isnan(values).all():
                metrics[name] = np.nanmean(values)
        return {name: float(value) for name, value in metrics.items()}

    def _log_classes(self, iou: np.ndarray, accuracy: np.ndarray) -> None:
        table = PrettyTable(['class', 'IoU', 'Acc'])
        for row in zip(self.class_names, iou, accuracy, strict=True):
            table.add_row([row[0], *('-' if np.isnan(value) else f'{value:.3f}' for value in row[1:])])
        print_log(f'semantic segmentation, every class:\n{table}', logger='current')
