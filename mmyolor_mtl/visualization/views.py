"""What there is to draw of a data sample: ground truth and prediction brought into one plain form."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mmdet.evaluation import INSTANCE_OFFSET
from mmdet.structures import DetDataSample

from mmyolor_mtl.structures import decode_rle
from mmyolor_mtl.utils.arrays import to_numpy

IGNORED = 255


@dataclass
class Objects:
    """Objects of one image: boxes (K,4) xyxy px, labels (K,), scores (K,) and bool masks (K,H,W) or None."""

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None
    masks: np.ndarray | None = None


@dataclass
class View:
    """One side of the picture, ground truth or prediction; a part that does not exist is None."""

    title: str
    objects: Objects | None = None
    crowd: Objects | None = None
    semantic: np.ndarray | None = None
    panoptic: np.ndarray | None = None
    captions: list[str] | None = None
    caption_score: float | None = None
    unlabelled: set[str] = field(default_factory=set)

    @property
    def is_empty(self) -> bool:
        """True where there is nothing to draw."""
        parts = (self.objects, self.semantic, self.panoptic, self.captions)
        return all(part is None for part in parts)


def ground_truth_view(sample: DetDataSample, num_things: int, num_evaluated: int) -> View:
    """Collect the annotations of a sample.

    The panoptic map is put together here from the masks and the semantic map, as it is for the eye only.

    Args:
        sample (DetDataSample): Sample with some of ``gt_instances``, ``ignored_instances``, ``gt_sem_seg``,
            ``gt_captions`` and the metainfo ``labelled_tasks``.
        num_things (int): Number of thing classes.
        num_evaluated (int): Number of thing and stuff classes, also the id of void pixels.
    """
    view = View('Ground truth')
    tasks = sample.get('labelled_tasks', None)
    if tasks is not None:
        view.unlabelled = {'det', 'ins', 'sem', 'cap'} - set(tasks)
    if 'gt_instances' in sample and 'det' not in view.unlabelled:
        view.objects = _objects(sample.gt_instances)
        if len(sample.get('ignored_instances', ())):
            view.crowd = _objects(sample.ignored_instances)
    if 'gt_sem_seg' in sample and 'sem' not in view.unlabelled:
        view.semantic = _merge_layers(to_numpy(sample.gt_sem_seg.sem_seg))
    captions = sample.get('gt_captions', None)
    if captions:
        view.captions = list(captions)
    if view.objects is not None and view.objects.masks is not None and view.semantic is not None:
        view.panoptic = _panoptic(view.objects, view.semantic, num_things, num_evaluated)
    return view


def prediction_view(sample: DetDataSample, score_thr: float) -> View:
    """Collect the predictions of a sample; objects below ``score_thr`` are left out."""
    view = View('Prediction')
    if 'pred_instances' in sample:
        instances = sample.pred_instances
        view.objects = _objects(instances[instances.scores >= score_thr])
    if 'pred_sem_seg' in sample:
        view.semantic = to_numpy(sample.pred_sem_seg.sem_seg)[0].astype(np.int64)
    if 'pred_panoptic_seg' in sample:
        view.panoptic = to_numpy(sample.pred_panoptic_seg.sem_seg)[0].astype(np.int64)
    caption = sample.get('pred_caption', None)
    if caption is not None:
        view.captions = [caption]
        score = sample.get('pred_caption_score', None)
        view.caption_score = None if score is None else float(score)
    return view


def _objects(instances: Any) -> Objects:
    labels = to_numpy(instances.labels)
    scores = to_numpy(instances.scores) if 'scores' in instances else None
    masks = _masks(instances.masks) if 'masks' in instances else None
    return Objects(to_numpy(instances.bboxes).reshape(-1, 4), labels, scores, masks)


def _masks(masks: Any) -> np.ndarray | None:
    if not isinstance(masks, list):
        return to_numpy(masks).astype(bool)
    return np.stack([decode_rle(mask) for mask in masks]) if masks else None


def _merge_layers(layers: np.ndarray) -> np.ndarray:
    """(L,H,W) to (H,W): mixed-up images carry two layers, the first that is labelled shows."""
    merged = layers[0].astype(np.int64)
    for layer in layers[1:]:
        merged = np.where(merged == IGNORED, layer, merged)
    return merged


def _panoptic(objects: Objects, semantic: np.ndarray, num_things: int, num_evaluated: int) -> np.ndarray:
    is_stuff = (semantic >= num_things) & (semantic < num_evaluated)
    panoptic = np.where(is_stuff, semantic, num_evaluated)
    assert objects.masks is not None
    for number, (mask, label) in enumerate(zip(objects.masks, objects.labels, strict=True), start=1):
        if mask.shape == panoptic.shape:
            panoptic[mask] = int(label) + number * INSTANCE_OFFSET
    return panoptic
