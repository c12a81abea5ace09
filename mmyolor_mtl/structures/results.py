"""What the network found in one image, in plain typed form."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmyolor_mtl.utils.arrays import to_numpy

from .rle import Rle, encode_mask

# A panoptic id is class + INSTANCE_OFFSET * number of the instance, as in mmdet.
INSTANCE_OFFSET = 1000


@dataclass
class PanopticSegment:
    """One segment of the panoptic map.

    Attributes:
        id (int): Its value in the map: contiguous class id + 1000 * number of the instance (0 for stuff).
        label (int): Contiguous class id.
        class_name (str): Name of the class.
        is_thing (bool): Whether it is a countable object.
        area (int): Pixels.
    """

    id: int
    label: int
    class_name: str
    is_thing: bool
    area: int


@dataclass
class MTLResult:
    """All results of one image, in original pixels. A task that the model lacks is None (boxes: empty).

    Attributes:
        image (str): Path or name of the image.
        height (int): Pixels.
        width (int): Pixels.
        boxes (np.ndarray): float32 (K,4), xyxy px.
        scores (np.ndarray): float32 (K,), in [0, 1], falling.
        labels (np.ndarray): int64 (K,).
        class_names (list[str]): Names of the K labels.
        masks (list[dict] | None): COCO RLE of the K masks, ``counts`` as str.
        sem_seg (np.ndarray | None): (H,W) contiguous class ids, the smallest unsigned type that holds them.
        sem_names (list[str]): Name of each semantic class id.
        panoptic (np.ndarray | None): int64 (H,W), see :class:`PanopticSegment`.
        segments (list[PanopticSegment] | None): The segments of ``panoptic``, void left out.
        caption (str | None): A sentence about the image.
        caption_score (float | None): Its score.
        error (str | None): Why there are no results; everything else is empty then.
    """

    image: str
    height: int = 0
    width: int = 0
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    class_names: list[str] = field(default_factory=list)
    masks: list[Rle] | None = None
    sem_seg: np.ndarray | None = None
    sem_names: list[str] = field(default_factory=list)
    panoptic: np.ndarray | None = None
    segments: list[PanopticSegment] | None = None
    caption: str | None = None
    caption_score: float | None = None
    error: str | None = None

    @classmethod
    def from_sample(
        cls, sample: Any, dataset_meta: Mapping[str, Any], image: str | None = None, score_thr: float = 0.0
    ) -> 'MTLResult':
        """Read the predictions of a data sample.

        Args:
            sample (DetDataSample): Sample after ``model.predict``; ``ori_shape`` gives the image's (h, w).
            dataset_meta (Mapping): ``classes``, ``stuff_classes``, ``extra_classes``.
            image (str, optional): Name of the image; defaults to the sample's ``img_path``.
            score_thr (float): Objects below are left out.
        """
        height, width = (int(side) for side in sample.ori_shape[:2])
        result = cls(image=image if image is not None else str(sample.img_path), height=height, width=width)
        names = [n for key in ('classes', 'stuff_classes', 'extra_classes') for n in dataset_meta.get(key) or ()]
        if 'pred_instances' in sample:
            result._read_instances(sample.pred_instances, names, score_thr)
        if 'pred_sem_seg' in sample:
            ids = to_numpy(sample.pred_sem_seg.sem_seg)[0]
            result.sem_seg = ids.astype(np.min_scalar_type(int(ids.max(initial=0))))
            result.sem_names = names
        if 'pred_panoptic_seg' in sample:
            void = len(names) - len(dataset_meta.get('extra_classes') or ())
            result.panoptic = to_numpy(sample.pred_panoptic_seg.sem_seg)[0].astype(np.int64)
            result.segments = _segments(result.panoptic, names, len(dataset_meta.get('classes') or ()), void)
        caption = sample.get('pred_caption', None)
        if caption is not None:
            score = sample.get('pred_caption_score', None)
            result.caption, result.caption_score = str(caption), None if score is None else float(score)
        return result

    def _read_instances(self, instances: Any, names: Sequence[str], score_thr: float) -> None:
        scores = to_numpy(instances.scores).astype(np.float32)
        order = np.argsort(-scores, kind='stable')
        order = order[scores[order] >= score_thr]
        self.scores = scores[order]
        self.boxes = to_numpy(instances.bboxes).reshape(-1, 4).astype(np.float32)[order]
        self.labels = to_numpy(instances.labels).astype(np.int64)[order]
        self.class_names = [_name(names, label) for label in self.labels]
        if 'masks' in instances:
            masks = instances.masks
            if not isinstance(masks, list):  # of run lengths already
                masks = [encode_mask(mask) for mask in to_numpy(masks)]
            self.masks = [masks[i] for i in order]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form: numbers, strings, lists and dicts only.

        ``objects``: bbox xyxy px, score, label, class_name, mask (COCO RLE). ``semantic``: for each class that occurs
        its label, class_name, share of the image's pixels in (0, 1] and RLE, largest share first. ``panoptic``: the
        segments with RLE. ``caption``: text and score. Tasks that the model lacks are left out.
        """
        if self.error is not None:
            return {'image': self.image, 'error': self.error}
        out: dict[str, Any] = {'image': self.image, 'height': self.height, 'width': self.width}
        out['objects'] = [self._object(i) for i in range(len(self.labels))]
        if self.sem_seg is not None:
            out['semantic'] = self._semantic()
        if self.panoptic is not None and self.segments is not None:
            out['panoptic'] = [
                {**vars(segment), 'mask': encode_mask(self.panoptic == segment.id)} for segment in self.segments
            ]
        if self.caption is not None:
            out['caption'] = {'text': self.caption, 'score': _number(self.caption_score)}
        return out

    def save(self, path: str | Path) -> None:
        """Write :meth:`to_dict` as a JSON file, making its folder.

        Raises:
            ValueError: ``path`` does not end in .json.
        """
        path = Path(path)
        if path.suffix != '.json':
            raise ValueError(f'{path}: results are written as JSON, so give a name that ends in .json')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.to_dict(), ensure_ascii=False) + '\n', encoding='utf-8')

    def summary(self) -> str:
        """One line for people."""
        if self.error is not None:
            return f'failed: {self.error}'
        parts = [f'{len(self.labels)} object{"s" if len(self.labels) != 1 else ""}']
        if self.sem_seg is not None:
            number = len(np.unique(self.sem_seg))
            parts.append(f'{number} semantic class{"es" if number != 1 else ""}')
        if self.caption is not None:
            parts.append(f'"{self.caption}"')
        return ', '.join(parts)

    def _object(self, i: int) -> dict[str, Any]:
        out = {
            'bbox': [round(float(v), 2) for v in self.boxes[i]],
            'score': round(float(self.scores[i]), 5),
            'label': int(self.labels[i]),
            'class_name': self.class_names[i],
        }
        if self.masks is not None:
            out['mask'] = self.masks[i]
        return out

    def _semantic(self) -> list[dict[str, Any]]:
        assert self.sem_seg is not None
        labels, counts = np.unique(self.sem_seg, return_counts=True)
        return [
            {
                'label': int(labels[i]),
                'class_name': _name(self.sem_names, labels[i]),
                'share': round(float(counts[i] / self.sem_seg.size), 6),
                'mask': encode_mask(self.sem_seg == labels[i]),
            }
            for i in np.argsort(-counts, kind='stable')
        ]


def _segments(panoptic: np.ndarray, names: Sequence[str], num_things: int, void: int) -> list[PanopticSegment]:
    ids, areas = np.unique(panoptic, return_counts=True)
    segments = []
    for number, area in zip(ids.tolist(), areas.tolist(), strict=True):
        label = number % INSTANCE_OFFSET
        if number != void:
            segments.append(PanopticSegment(number, label, _name(names, label), label < num_things, area))
    return segments


def _name(names: Sequence[str], label: int) -> str:
    return names[label] if label < len(names) else f'class {label}'


def _number(value: float | None) -> float | None:
    """A float that JSON can hold."""
    return round(value, 5) if value is not None and np.isfinite(value) else None
