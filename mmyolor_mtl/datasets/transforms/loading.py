"""Labels of a sample: from the data set's description to arrays."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.structures.mask import PolygonMasks

from mmyolor_mtl.registry import TRANSFORMS

from ..label_space import FOREIGN, TASKS, UNLABELLED
from ..panoptic_source import PanopticMap
from ..semantic_maps import paint
from ..validation import read_semantic_map
from .polygons import rle_to_polygons


@TRANSFORMS.register_module()
class LoadMTLAnnotations(BaseTransform):
    """Load boxes, masks and the semantic map an image is labelled for.

    Placed before ``Letterbox`` (training) the labels move with the pixels; placed after it (testing) they stay in the
    original image, where predictions are scored.

    The semantic map is read from its PNG, painted from the masks of stuff and things, or taken from a panoptic PNG,
    which gives masks too.

    Required keys: ``labelled_tasks, instances, seg_map_path, captions, height, width`` and ``dataset``, where needed
    ``segments`` or ``panoptic``, all from :class:`~mmyolor_mtl.datasets.COCOMultiTaskDataset`. A sample without
    ``labelled_tasks`` (a picture given to an inferencer) passes unchanged.

    Added keys, as far as the image is labelled: ``gt_bboxes`` (N, 4) float32 xyxy px, ``gt_bboxes_labels`` (N,) int64,
    ``gt_ignore_flags`` (N,) bool (crowds), ``gt_masks`` PolygonMasks, ``gt_seg_map`` (H, W) uint8 contiguous ids
    with 255 = unlabelled; further ``gt_space`` ('network' or 'original') and ``partner_tasks`` (all that the data set
    has labels for, whatever ``tasks`` says).

    Args:
        tasks (Sequence[str]): Tasks to load, a subset of 'det', 'ins', 'sem', 'cap'; the others count as unlabelled.

    Raises:
        ValueError: ``tasks`` is unknown or has masks without boxes; or the image, its semantic map or its panoptic map
            is of another size than the annotations say, or such a map holds unknown ids.
    """

    def __init__(self, tasks: Sequence[str] = TASKS) -> None:
        unknown = set(tasks) - set(TASKS)
        if unknown or ('ins' in tasks and 'det' not in tasks):
            raise ValueError(f'tasks={tuple(tasks)} must come from {TASKS}, and "ins" needs "det" beside it')
        self.tasks = tuple(tasks)

    def transform(self, results: dict) -> dict:
        """Add the labels."""
        if 'labelled_tasks' not in results:
            return results
        size = (results['height'], results['width'])
        if tuple(results['ori_shape'][:2]) != size:
            raise ValueError(
                f'{results["img_path"]} (image {results["img_id"]}) is {results["ori_shape"][1]} x '
                f'{results["ori_shape"][0]} px, its annotations say {size[1]} x {size[0]}'
            )
        tasks = tuple(task for task in results['labelled_tasks'] if task in self.tasks)
        results['partner_tasks'] = results['labelled_tasks']
        results['labelled_tasks'] = tasks
        results['gt_space'] = 'network' if _is_as_loaded(results) else 'original'
        if 'det' in tasks:
            self._load_boxes(results)
        panoptic = PanopticMap(results['panoptic']['path'], size) if _needs_panoptic(results) else None
        if 'ins' in tasks:
            self._load_masks(results, size, panoptic)
        if 'sem' in tasks:
            results['gt_seg_map'] = self._load_semantic_map(results, size, panoptic)
        if 'cap' not in tasks:
            results['captions'] = []
        return results

    @staticmethod
    def _load_boxes(results: dict) -> None:
        instances = results['instances']
        results['gt_bboxes'] = np.array([one['bbox'] for one in instances], dtype=np.float32).reshape(-1, 4)
        results['gt_bboxes_labels'] = np.array([one['bbox_label'] for one in instances], dtype=np.int64)
        results['gt_ignore_flags'] = np.array([one['ignore_flag'] for one in instances], dtype=bool)

    @staticmethod
    def _load_masks(results: dict, size: tuple[int, int], panoptic: PanopticMap | None) -> None:
        instances = [_rings(one, size, panoptic) for one in results['instances']]
        # A run-length mask without a pixel is rare, and nothing could be learned from it.
        keep = np.array([len(rings) > 0 for rings in instances], dtype=bool)
        for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
            results[key] = results[key][keep]
        results['gt_masks'] = PolygonMasks([rings for rings in instances if rings], *size)

    def _load_semantic_map(self, results: dict, size: tuple[int, int], panoptic: PanopticMap | None) -> np.ndarray:
        if results['seg_map_path'] is not None:
            return self._read_semantic_map(results, size)
        if 'segments' in results:
            canvas = np.full(size, UNLABELLED, dtype=np.uint8, order='F')
            for segment in results['segments']:
                paint(canvas, segment['mask'], segment['label'])
            return np.ascontiguousarray(canvas)
        assert panoptic is not None
        return panoptic.semantic_map(results['panoptic']['segments'])

    @staticmethod
    def _read_semantic_map(results: dict, size: tuple[int, int]) -> np.ndarray:
        path = results['seg_map_path']
        values = read_semantic_map(path)
        if values.shape != size:
            raise ValueError(
                f'semantic map {path} of image {results["img_id"]} is {values.shape[1]} x {values.shape[0]} px, the '
                f'image {size[1]} x {size[0]}'
            )
        if 'dataset' not in results:
            raise ValueError("semantic maps need the data set's class list: results['dataset'] is missing")
        contiguous = cv2.LUT(values, results['dataset'].semantic_lut)
        if (contiguous == FOREIGN).any():
            foreign = np.unique(values[contiguous == FOREIGN])[:8].tolist()
            raise ValueError(f'semantic map {path} of image {results["img_id"]} holds unknown ids {foreign}')
        return contiguous

    def __repr__(self) -> str:
        return f'{type(self).__name__}(tasks={self.tasks})'


def _is_as_loaded(results: dict) -> bool:
    """Whether nothing was resized or padded yet, by our ``Letterbox`` or by other packages' transforms."""
    shape = results.get('img_shape', results['ori_shape'])
    return 'pad_param' not in results and tuple(shape[:2]) == tuple(results['ori_shape'][:2])


def _needs_panoptic(results: dict) -> bool:
    """Whether the masks or the semantic map to load come from the panoptic PNG."""
    if 'panoptic' not in results:
        return False
    tasks = results['labelled_tasks']
    from_map = 'sem' in tasks and results['seg_map_path'] is None and 'segments' not in results
    return from_map or ('ins' in tasks and any('segment_id' in one for one in results['instances']))


def _rings(instance: dict, size: tuple[int, int], panoptic: PanopticMap | None) -> list[np.ndarray]:
    if 'segment_id' in instance:
        assert panoptic is not None
        return panoptic.polygons(instance['segment_id'])
    if isinstance(instance['mask'], dict):
        return rle_to_polygons(instance['mask'], *size)
    return [np.asarray(ring, dtype=np.float64) for ring in instance['mask']]
