"""COCO's result files of boxes and masks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

SCORE_DECIMALS = 5
BOX_DECIMALS = 3


def coco_detections(
    iou_type: str, img_id: Any, category_ids: Sequence[int | None], prediction: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Entries of a COCO result file for one image (REFERENCE_SPEC 6.4).

    Entries of masks have no ``bbox``: readers would measure an object's size by it.

    Args:
        iou_type (str): 'bbox' or 'segm'.
        img_id (Any): The image's id.
        category_ids (Sequence[int | None]): Category id of each label; objects whose label has none are left out.
        prediction (Mapping): ``bboxes`` (K, 4) xyxy px, ``scores`` (K,) and ``labels`` (K,), arrays; for 'segm'
            ``masks``, K COCO RLE dicts.

    Returns:
        list[dict]: ``image_id``, ``category_id``, ``score`` with 5 decimals, and ``bbox`` [x, y, w, h] with 3 decimals
        or ``segmentation`` (RLE, ``counts`` as str).
    """
    scores = np.round(prediction['scores'].astype(np.float64), SCORE_DECIMALS).tolist()
    if iou_type == 'bbox':
        boxes = prediction['bboxes'].astype(np.float64).reshape(-1, 4)
        boxes = np.round(np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1), BOX_DECIMALS)
        name, values = 'bbox', boxes.tolist()
    else:
        name, values = 'segmentation', [_text(rle) for rle in prediction['masks']]
    return [
        {'image_id': img_id, 'category_id': category_ids[label], 'score': score, name: value}
        for label, score, value in zip(prediction['labels'].tolist(), scores, values, strict=True)
        if category_ids[label] is not None
    ]


def _text(rle: Mapping[str, Any]) -> dict[str, Any]:
    counts = rle['counts']
    return {'size': [*map(int, rle['size'])], 'counts': counts.decode('ascii') if isinstance(counts, bytes) else counts}
