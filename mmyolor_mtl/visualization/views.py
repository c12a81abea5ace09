"""What there is to draw of a data sample: ground truth and prediction brought into one plain form."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mmdet.structures import DetDataSample

from mmyolor_mtl.structures import INSTANCE_OFFSET
from mmyolor_mtl.utils.arrays import to_numpy

from .masks import Masks, sample

IGNORED = 255


@dataclass
class Objects:
    """Objects of one image.

    Attributes:
        boxes: float (K,4) xyxy px.
        labels: int (K,).
        scores: float (K,) in [0, 1], or None.
        masks: The K masks, or None.
        notes: K remarks, '' for an object that needs none; or None. With notes only objects that have one get a label.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None
    masks: Masks | None = None
    notes: Sequence[str] | None = None


@dataclass
class View:
    """One side of the picture, ground truth or prediction; a part that does not exist is None.

    ``semantic`` is (H,W) at the size of the image; so is ``panoptic``, or it is as large as it is shown. ``wrong``,
    bool (H,W), marks pixels of the semantic map; all others are faded.
    """

    title: str
    objects: Objects | None = None
    crowd: Objects | None = None
    semantic: np.ndarray | None = None
    wrong: np.ndarray | None = None
    panoptic: np.ndarray | None = None
    captions: list[str] | None = None
    caption_score: float | None = None
    unlabelled: set[str] = field(default_factory=set)

    @property
    def is_empty(self) -> bool:
        """True where there is nothing to draw."""
        parts = (self.objects, self.semantic, self.panoptic, self.captions)
        return all(part is None for part in parts)


def ground_truth_view(
    data_sample: DetDataSample, num_things: int, num_evaluated: int, shown: tuple[int, int] | None = None
) -> View:
    """Collect the annotations of a sample.

    The panoptic map is put together here from the masks and the semantic map, as it is for the eye only.

    Args:
        data_sample (DetDataSample): Sample with some of ``gt_instances``, ``ignored_instances``, ``gt_sem_seg``,
            ``gt_captions`` and the metainfo ``labelled_tasks``. ``gt_instances.notes`` are optional remarks.
        num_things (int): Number of thing classes.
        num_evaluated (int): Number of thing and stuff classes, also the id of void pixels.
        shown (tuple[int, int], optional): (h, w) that the panoptic map is wanted at. Defaults to None: no such map.
    """
    view = View('Ground truth')
    tasks = data_sample.get('labelled_tasks', None)
    if tasks is not None:
        view.unlabelled = {'det', 'ins', 'sem', 'cap'} - set(tasks)
    if 'gt_instances' in data_sample and 'det' not in view.unlabelled:
        view.objects = _objects(data_sample.gt_instances)
        if len(data_sample.get('ignored_instances', ())):
            view.crowd = _objects(data_sample.ignored_instances)
    if 'gt_sem_seg' in data_sample and 'sem' not in view.unlabelled:
        view.semantic = _merge_layers(to_numpy(data_sample.gt_sem_seg.sem_seg))
    captions = data_sample.get('gt_captions', None)
    if captions:
        view.captions = list(captions)
    if shown is not None and view.objects is not None and view.objects.masks is not None and view.semantic is not None:
        view.panoptic = _panoptic(view.objects, sample(view.semantic, *shown), num_things, num_evaluated)
    return view


def prediction_view(data_sample: DetDataSample, score_thr: float) -> View:
    """Collect the predictions of a sample; objects below ``score_thr`` are left out.

    ``pred_instances.notes`` are optional remarks, ``pred_sem_seg.wrong`` (1,H,W) optional marks.
    """
    view = View('Prediction')
    if 'pred_instances' in data_sample:
        view.objects = _objects(data_sample.pred_instances, score_thr)
    if 'pred_sem_seg' in data_sample:
        view.semantic = to_numpy(data_sample.pred_sem_seg.sem_seg)[0]
        if 'wrong' in data_sample.pred_sem_seg:
            view.wrong = to_numpy(data_sample.pred_sem_seg.wrong)[0]
    if 'pred_panoptic_seg' in data_sample:
        view.panoptic = to_numpy(data_sample.pred_panoptic_seg.sem_seg)[0]
    caption = data_sample.get('pred_caption', None)
    if caption is not None:
        view.captions = [caption]
        score = data_sample.get('pred_caption_score', None)
        view.caption_score = None if score is None else float(score)
    return view


def _objects(instances: Any, score_thr: float = 0.0) -> Objects:
    boxes, labels = to_numpy(instances.bboxes).reshape(-1, 4), to_numpy(instances.labels)
    scores = to_numpy(instances.scores) if 'scores' in instances else None
    kept = np.arange(len(labels)) if scores is None else np.flatnonzero(scores >= score_thr)
    return Objects(
        boxes[kept],
        labels[kept],
        None if scores is None else scores[kept],
        Masks(instances.masks, kept) if 'masks' in instances else None,
        [instances.notes[i] for i in kept] if 'notes' in instances else None,
    )


def _merge_layers(layers: np.ndarray) -> np.ndarray:
    """(L,H,W) to (H,W): mixed-up images carry two layers, the first that is labelled shows."""
    merged = layers[0]
    for layer in layers[1:]:
        merged = np.where(merged == IGNORED, layer, merged)
    return merged


def _panoptic(objects: Objects, semantic: np.ndarray, num_things: int, num_evaluated: int) -> np.ndarray:
    is_stuff = (semantic >= num_things) & (semantic < num_evaluated)
    panoptic = np.where(is_stuff, semantic, num_evaluated).astype(np.int64)
    assert objects.masks is not None
    windows = [objects.masks.window(i, *panoptic.shape) for i in range(len(objects.masks))]
    # Smaller objects lie in front.
    for i in sorted(range(len(windows)), key=lambda i: -int(windows[i][0].sum())):
        mask, (x, y) = windows[i]
        part = panoptic[y : y + mask.shape[0], x : x + mask.shape[1]]
        part[mask] = int(objects.labels[i]) + (i + 1) * INSTANCE_OFFSET
    return panoptic
