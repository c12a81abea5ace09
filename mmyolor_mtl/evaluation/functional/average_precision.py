"""Average precision and recall of boxes and masks by COCO's rules, for data in the form of COCO's files."""

import contextlib
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BACKENDS = ('pycocotools', 'faster_coco_eval')
IOU_TYPES = ('bbox', 'segm')
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
MAX_DETECTIONS = (1, 10, 100)
_SIZES = ('', '_s', '_m', '_l')  # COCO's area ranges: all, < 32 x 32, < 96 x 96, larger (px)


@dataclass
class DetectionScores:
    """Results of :func:`average_precision`.

    Attributes:
        figures (dict[str, float]): ``mAP``, ``mAP_50``, ``mAP_75``, ``mAP_s``, ``mAP_m``, ``mAP_l``, ``AR@n`` for each
            limit n, and ``AR_s@n``, ``AR_m@n``, ``AR_l@n`` for the last; in 0..1, -1 where no object is of that kind.
        per_class (dict[int, dict[str, float]]): ``AP, AP50, AP75, APs, APm, APl`` of each category id, in 0..1, NaN
            where it has no object.
    """

    figures: dict[str, float]
    per_class: dict[int, dict[str, float]]


def average_precision(
    ground_truth: Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    iou_type: str,
    *,
    img_ids: Collection[Any] | None = None,
    cat_ids: Sequence[int] | None = None,
    iou_thrs: Sequence[float] | None = None,
    max_dets: Sequence[int] = MAX_DETECTIONS,
    backend: str = 'pycocotools',
) -> DetectionScores:
    """Score detections against ground truth.

    Args:
        ground_truth (Mapping): Content of a COCO instances file: ``images``, ``annotations``, ``categories``.
        detections (Sequence[Mapping]): Content of a COCO result file. Those on other images are left out.
        iou_type (str): 'bbox' or 'segm'.
        img_ids (Collection, optional): Images to score; None for all of ``ground_truth``.
        cat_ids (Sequence[int], optional): Categories to score; None for all of ``ground_truth``.
        iou_thrs (Sequence[float], optional): IoU thresholds in (0, 1]; None for 0.5, 0.55, ... 0.95.
        max_dets (Sequence[int]): How many detections an image may have, the best by score; all figures but the AR of
            smaller limits use the last.
        backend (str): 'pycocotools' (the official one) or 'faster_coco_eval' (the same figures, in C++).

    Raises:
        ImportError: The backend is not installed.
        ValueError: ``iou_type`` or ``backend`` is unknown.
    """
    if iou_type not in IOU_TYPES:
        raise ValueError(f'iou_type={iou_type!r} must be one of {IOU_TYPES}')
    make_coco, evaluator = load_backend(backend)
    thresholds = IOU_THRESHOLDS if iou_thrs is None else np.atleast_1d(np.asarray(iou_thrs, dtype=np.float64))
    chosen = {image['id'] for image in ground_truth['images']} if img_ids is None else set(img_ids)
    # Annotations are copied: the evaluators write into them.
    truth = {
        'info': {},
        'images': [image for image in ground_truth['images'] if image['id'] in chosen],
        'annotations': [dict(ann) for ann in ground_truth.get('annotations', ()) if ann['image_id'] in chosen],
        'categories': list(ground_truth['categories']),
    }
    found = [dict(detection) for detection in detections if detection['image_id'] in chosen]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = make_coco(truth)
        # Without any detection there is nothing to load, and still all objects are missed.
        result = coco.loadRes(found) if found else make_coco({**truth, 'annotations': []})
        evaluation = evaluator(coco, result, iou_type)
        params = evaluation.params
        params.imgIds = sorted(chosen)
        params.catIds = [c['id'] for c in truth['categories']] if cat_ids is None else list(cat_ids)
        params.iouThrs, params.maxDets = thresholds, list(max_dets)
        evaluation.evaluate()
        evaluation.accumulate()
    return _summarise(evaluation.eval, thresholds, max_dets, params.catIds)


def figure_names(max_dets: Sequence[int] = MAX_DETECTIONS) -> list[str]:
    """Names of all figures, see :class:`DetectionScores`."""
    names = ['mAP', 'mAP_50', 'mAP_75', *(f'mAP{size}' for size in _SIZES[1:])]
    return names + [f'AR@{n}' for n in max_dets] + [f'AR{size}@{max_dets[-1]}' for size in _SIZES[1:]]


def load_backend(name: str) -> tuple[Any, Any]:
    """Function from a dict to a COCO object, and class of the evaluator.

    Raises:
        ImportError: The backend is not installed.
        ValueError: It is unknown.
    """
    if name == 'pycocotools':
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        def make(content: dict) -> Any:
            coco = COCO()
            coco.dataset = content
            coco.createIndex()
            return coco

        return make, COCOeval
    if name == 'faster_coco_eval':
        try:
            import faster_coco_eval
        except ImportError as error:
            raise ImportError("backend='faster_coco_eval' needs a package: pip install faster-coco-eval") from error
        return faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster
    raise ValueError(f'backend={name!r} must be one of {BACKENDS}')


def _summarise(
    arrays: Mapping[str, np.ndarray], thresholds: np.ndarray, max_dets: Sequence[int], cat_ids: Sequence[int]
) -> DetectionScores:
    # (thresholds, recalls, categories, sizes), (thresholds, categories, sizes, limits); -1 where there is no object
    precision, recall = arrays['precision'][..., -1], arrays['recall']
    figures = {'mAP': _mean(precision[:, :, :, 0])}
    columns = {'AP': _mean(precision[:, :, :, 0], axis=(0, 1))}
    for percent in (50, 75):
        at = np.isclose(thresholds, percent / 100)
        if at.any():
            figures[f'mAP_{percent}'] = _mean(precision[at, :, :, 0])
            columns[f'AP{percent}'] = _mean(precision[at, :, :, 0], axis=(0, 1))
    for i, size in enumerate(_SIZES[1:], start=1):
        figures[f'mAP{size}'] = _mean(precision[..., i])
        columns[f'AP{size[1:]}'] = _mean(precision[..., i], axis=(0, 1))
    figures |= {f'AR@{n}': _mean(recall[:, :, 0, i]) for i, n in enumerate(max_dets)}
    figures |= {f'AR{size}@{max_dets[-1]}': _mean(recall[:, :, i, -1]) for i, size in enumerate(_SIZES[1:], start=1)}
    return DetectionScores(
        {name: -1.0 if np.isnan(value) else float(value) for name, value in figures.items()},
        {cat: {name: float(values[i]) for name, values in columns.items()} for i, cat in enumerate(cat_ids)},
    )


def _mean(values: np.ndarray, axis: int | tuple[int, ...] | None = None) -> np.ndarray:
    """Mean of the entries that are not -1; NaN where all are."""
    found = values > -1
    count = found.sum(axis)
    return np.where(count > 0, np.where(found, values, 0).sum(axis) / np.maximum(count, 1), np.nan)
