"""Copy-paste within a picture (REFERENCE_SPEC 4.3)."""

import numpy as np
from mmcv.transforms import BaseTransform

from mmyolor_mtl.registry import TRANSFORMS
from mmyolor_mtl.utils.letterbox import PAD_VALUE

from .labels import concat_labels, require_network_space, takes_mmdet_labels
from .polygons import FlatPolygons
from .tiles import Paste, Tile, TiledCanvas, draw_deferred


@TRANSFORMS.register_module()
class MTLCopyPaste(BaseTransform):
    """Copy some objects to where they lie in the mirrored picture, mirrored themselves.

    An object is a candidate if its mirrored box hides less than ``max_hidden`` of every box there is; crowds are none.
    Copies get boxes, masks and labels of their own; objects below keep their whole masks. The semantic map gets a
    second layer with the classes of the copies: what they hide keeps its label, and such a pixel carries both.

    Needs masks: images without ``ins`` labels are left alone. Put it behind :class:`MTLMosaic`.

    Args:
        prob (float): Part of the candidates that is copied, rounded to whole objects, in [0, 1].
        max_hidden (float): Intersection over area of an existing box that a copy must stay below, in [0, 1].

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(self, prob: float = 0.3, max_hidden: float = 0.3) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob={prob} must be in [0, 1]')
        if not 0 <= max_hidden <= 1:
            raise ValueError(f'max_hidden={max_hidden} must be in [0, 1]')
        self.prob = prob
        self.max_hidden = max_hidden

    @takes_mmdet_labels
    def transform(self, results: dict) -> dict:
        """Add the copies."""
        require_network_space(results, type(self).__name__)
        if 'gt_masks' not in results:
            return results
        chosen = self._choose(results)
        if len(chosen) == 0:
            return results
        deferred = isinstance(results['img'], TiledCanvas)
        canvas = results['img'] if deferred else _canvas_of(results)
        mirror = np.array([[-1.0, 0, canvas.width], [0, 1, 0], [0, 0, 1]])
        copies = FlatPolygons.from_masks(results['gt_masks'][chosen]).affine(mirror)
        for i, index in enumerate(chosen.tolist()):
            tile = canvas.tiles[canvas.owners[index]]
            source = Tile(tile.pixels, None, mirror @ tile.matrix)
            canvas.pastes.append(
                Paste(source, copies.select(_only(i, len(chosen))), results['gt_bboxes_labels'][index])
            )
        canvas.owners = np.concatenate([canvas.owners, canvas.owners[chosen]])
        added = {
            'gt_bboxes': _mirrored(results['gt_bboxes'][chosen], canvas.width),
            'gt_bboxes_labels': results['gt_bboxes_labels'][chosen],
            'gt_ignore_flags': results['gt_ignore_flags'][chosen],
            'gt_masks': copies.to_masks(canvas.height, canvas.width),
        }
        results.update(concat_labels([results, added], (canvas.height, canvas.width)))
        results['img'] = canvas
        if not deferred:
            draw_deferred(results)
        return results

    def _choose(self, results: dict) -> np.ndarray:
        """Indices of the objects to copy, in random order."""
        boxes = results['gt_bboxes']
        mirrored = _mirrored(boxes, results['img'].shape[1])
        low = np.maximum(mirrored[:, None, :2], boxes[None, :, :2])
        high = np.minimum(mirrored[:, None, 2:], boxes[None, :, 2:])
        hidden = (high - low).clip(min=0).prod(-1) / (boxes[:, 2:] - boxes[:, :2]).prod(-1)
        candidates = np.flatnonzero((hidden < self.max_hidden).all(1) & ~results['gt_ignore_flags'])
        return np.random.permutation(candidates)[: round(self.prob * len(candidates))]

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, max_hidden={self.max_hidden})'


def _canvas_of(results: dict) -> TiledCanvas:
    """A picture as a canvas of one tile."""
    height, width = results['img'].shape[:2]
    owners = np.zeros(len(results['gt_bboxes']), dtype=np.int64)
    return TiledCanvas(height, width, PAD_VALUE, [Tile(results['img'], results.get('gt_seg_map'), np.eye(3))], owners)


def _mirrored(boxes: np.ndarray, width: int) -> np.ndarray:
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)


def _only(index: int, count: int) -> np.ndarray:
    return np.arange(count) == index
