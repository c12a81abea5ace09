"""What the network found in one image, in plain typed form."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmyolor_mtl.utils.arrays import to_numpy

from .coco_results import box_entries, category_ids, mask_entries, panoptic_entry, stuff_entries
from .rle import Rle, decode_rle, encode_mask
from .segments import PanopticSegment, class_names_of, list_segments, name_of, void_value


@dataclass(eq=False)
class MTLResult:
    """All results of one image, in original pixels. A task that was not run is None (boxes: empty).

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
        detected (bool): Whether objects were looked for. Where not, ``boxes`` is empty for that reason.
        score_thr (float): Objects with a lower score were left out.
        dataset_meta (Mapping): Names, ids and colours of the classes, for :meth:`plot` and :meth:`to_coco`.
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
    detected: bool = True
    score_thr: float = 0.0
    dataset_meta: Mapping[str, Any] = field(default_factory=dict, repr=False)

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
        result = cls(image if image is not None else str(sample.img_path), height, width)
        result.score_thr, result.dataset_meta = score_thr, dataset_meta
        names = class_names_of(dataset_meta)
        result.detected = 'pred_instances' in sample
        if result.detected:
            result._read_instances(sample.pred_instances, names, score_thr)
        if 'pred_sem_seg' in sample:
            ids = to_numpy(sample.pred_sem_seg.sem_seg)[0]
            result.sem_seg = ids.astype(np.min_scalar_type(int(ids.max(initial=0))))
            result.sem_names = names
        if 'pred_panoptic_seg' in sample:
            result.panoptic = to_numpy(sample.pred_panoptic_seg.sem_seg)[0].astype(np.int64)
            result.segments = list_segments(result.panoptic, dataset_meta)
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
        self.class_names = [name_of(names, label) for label in self.labels]
        if 'masks' in instances:
            masks = instances.masks
            if not isinstance(masks, list):  # of run lengths already
                masks = [encode_mask(mask) for mask in to_numpy(masks)]
            self.masks = [masks[i] for i in order]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that there are results of: 'det', 'ins', 'sem', 'pan', 'cap'."""
        if self.error is not None:
            return ()
        there = {
            'det': self.detected,
            'ins': self.masks is not None,
            'sem': self.sem_seg is not None,
            'pan': self.panoptic is not None,
            'cap': self.caption is not None,
        }
        return tuple(task for task, is_there in there.items() if is_there)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form: numbers, strings, lists and dicts only.

        ``objects``: bbox xyxy px, score, label, class_name, mask (COCO RLE). ``semantic``: for each class that occurs
        its label, class_name, share of the image's pixels in (0, 1] and RLE, largest share first. ``panoptic``: the
        segments with RLE. ``caption``: text and score. Tasks that were not run are left out.
        """
        if self.error is not None:
            return {'image': self.image, 'error': self.error}
        out: dict[str, Any] = {'image': self.image, 'height': self.height, 'width': self.width}
        if self.detected:
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

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], dataset_meta: Mapping[str, Any] | None = None) -> 'MTLResult':
        """Read what :meth:`to_dict` wrote; only digits that it rounded off are lost.

        Args:
            content (Mapping): The dict.
            dataset_meta (Mapping, optional): Names, ids and colours, which the dict has only for what was found.

        Raises:
            ValueError: The dict is no result.
        """
        try:
            if 'error' in content:
                return cls(content['image'], error=content['error'])
            return cls._of_dict(content, dataset_meta or {})
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(f'this is no result as MTLResult.to_dict writes it: {error!r}') from error

    @classmethod
    def _of_dict(cls, content: Mapping[str, Any], dataset_meta: Mapping[str, Any]) -> 'MTLResult':
        result = cls(content['image'], content['height'], content['width'], dataset_meta=dataset_meta)
        result.detected = 'objects' in content
        objects = content.get('objects', [])
        result.boxes = np.array([entry['bbox'] for entry in objects], np.float32).reshape(-1, 4)
        result.scores = np.array([entry['score'] for entry in objects], np.float32)
        result.labels = np.array([entry['label'] for entry in objects], np.int64)
        result.class_names = [entry['class_name'] for entry in objects]
        if any('mask' in entry for entry in objects):
            result.masks = [entry['mask'] for entry in objects]
        entries = [*content.get('semantic', ()), *content.get('panoptic', ())]
        found = {entry['label']: entry['class_name'] for entry in entries}
        names = class_names_of(dataset_meta) or [found.get(i, f'class {i}') for i in range(max(found, default=-1) + 1)]
        if 'semantic' in content:
            ids = result._paint(content['semantic'], 'label', 0)
            result.sem_seg, result.sem_names = ids.astype(np.min_scalar_type(int(ids.max(initial=0)))), names
        if 'panoptic' in content:
            result.panoptic = result._paint(content['panoptic'], 'id', void_value(dataset_meta) or len(names))
            keys = PanopticSegment.__dataclass_fields__
            result.segments = [PanopticSegment(**{key: entry[key] for key in keys}) for entry in content['panoptic']]
        if 'caption' in content:
            result.caption, result.caption_score = content['caption']['text'], content['caption']['score']
        return result

    def _paint(self, entries: Sequence[Mapping[str, Any]], key: str, background: int) -> np.ndarray:
        """Map (H,W) int64 with the number under ``key`` in the mask of each entry."""
        canvas = np.full((self.height, self.width), background, np.int64)
        for entry in entries:
            canvas[decode_rle(entry['mask'])] = entry[key]
        return canvas

    def save(self, path: str | Path, maps: bool = False) -> None:
        """Write :meth:`to_dict` as a JSON file, making its folder.

        Args:
            path (str | Path): Its name ends in .json.
            maps (bool): Write the maps as PNG beside it too, as far as there are some: for ``street.json``
                ``street_semantic.png``, whose pixels are class ids (8 bits, or 16 where there are more than 256
                classes), and ``street_panoptic.png`` as of :meth:`panoptic_png`.

        Raises:
            ValueError: ``path`` does not end in .json.
        """
        path = Path(path)
        if path.suffix != '.json':
            raise ValueError(f'{path}: results are written as JSON, so give a name that ends in .json')
        path.parent.mkdir(parents=True, exist_ok=True)
        if maps and self.sem_seg is not None:
            _write_picture(path.with_name(f'{path.stem}_semantic.png'), self.sem_seg)
        if maps and self.panoptic is not None:
            _write_picture(path.with_name(f'{path.stem}_panoptic.png'), self.panoptic_png()[..., ::-1])
        _write(path, (json.dumps(self.to_dict(), ensure_ascii=False) + '\n').encode())

    @classmethod
    def load(cls, path: str | Path, dataset_meta: Mapping[str, Any] | None = None) -> 'MTLResult':
        """Read what :meth:`save` wrote; see :meth:`from_dict`.

        Raises:
            ValueError: The file is no result.
        """
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding='utf-8')), dataset_meta)
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from error

    def to_coco(self, image_id: int | str, png_name: str | None = None) -> dict[str, Any]:
        """Entries for COCO's official result files; needs ``thing_ids`` and ``stuff_ids`` in ``dataset_meta``.

        Args:
            image_id (int | str): Id of the image in the annotations.
            png_name (str, optional): File name of :meth:`panoptic_png`; by default the image's with '.png'.

        Returns:
            dict: By task, as far as it was run: 'bbox', 'segm', 'stuff' (stuff classes, and 183 for all other pixels)
            and 'caption', lists to be joined over the images; 'panoptic', one entry of the list ``annotations``.

        Raises:
            ValueError: There are no results, or the classes have no category ids.
        """
        if self.error is not None:
            raise ValueError(f'there are no results for {self.image}: {self.error}')
        things, stuff = category_ids(self.dataset_meta)
        categories = [things[label] for label in self.labels]
        out: dict[str, list[dict[str, Any]]] = {}
        if self.detected:
            out['bbox'] = box_entries(self.boxes, self.scores, categories)
        if self.masks is not None:
            out['segm'] = mask_entries(self.masks, self.scores, categories)
        if self.sem_seg is not None:
            out['stuff'] = stuff_entries(self.sem_seg, len(things), stuff)
        if self.caption is not None:
            out['caption'] = [{'caption': self.caption}]
        entries: dict[str, Any] = {task: [{'image_id': image_id, **e} for e in found] for task, found in out.items()}
        if self.panoptic is not None:
            segments, _ = panoptic_entry(self.panoptic, self.dataset_meta)
            name = png_name or f'{Path(self.image).stem}.png'
            entries['panoptic'] = {'image_id': image_id, 'file_name': name, 'segments_info': segments}
        return entries

    def panoptic_png(self) -> np.ndarray:
        """Pixels of COCO's panoptic PNG, RGB uint8 (H,W,3): ids of :meth:`to_coco` as R + 256 G + 65536 B, 0 is void.

        Raises:
            ValueError: There is no panoptic map, or the classes have no category ids.
        """
        if self.panoptic is None:
            raise ValueError(f'there is no panoptic map of {self.image}')
        return panoptic_entry(self.panoptic, self.dataset_meta)[1]

    def to_sample(self) -> Any:
        """The results as mmdet's ``DetDataSample``, for visualizers and metrics. Imports torch and mmdet."""
        import torch
        from mmdet.structures import DetDataSample
        from mmengine.structures import InstanceData, PixelData

        sample = DetDataSample(metainfo={'img_path': self.image, 'ori_shape': (self.height, self.width)})
        if self.detected:
            arrays = (torch.from_numpy(array) for array in (self.boxes, self.scores, self.labels))
            sample.pred_instances = InstanceData(**dict(zip(('bboxes', 'scores', 'labels'), arrays, strict=True)))
        if self.masks is not None:
            sample.pred_instances.masks = self.masks
        if self.sem_seg is not None:
            sample.pred_sem_seg = PixelData(sem_seg=torch.from_numpy(self.sem_seg.astype(np.int64))[None])
        if self.panoptic is not None:
            sample.pred_panoptic_seg = PixelData(sem_seg=torch.from_numpy(self.panoptic)[None])
        if self.caption is not None:
            sample.set_field(self.caption, 'pred_caption')
            sample.set_field(self.caption_score, 'pred_caption_score')
        return sample

    def plot(self, image: np.ndarray, visualizer: Any = None, out_file: str | Path | None = None) -> np.ndarray:
        """Draw the results on their image. Imports the visualizer, and with it torch and mmdet.

        Args:
            image (np.ndarray): BGR uint8 (H,W,3), as it was given to the network.
            visualizer (MTLLocalVisualizer, optional): By default one with all panels and the colours of
                ``dataset_meta``.
            out_file (str | Path, optional): File to write; its folder is made.

        Returns:
            np.ndarray: The picture, BGR uint8 (h,w,3).

        Raises:
            ValueError: There are no results, or the image is of another size.
        """
        if self.error is not None:
            raise ValueError(f'there are no results for {self.image}: {self.error}')
        if image.shape != (self.height, self.width, 3):
            raise ValueError(f'the results are of an image (H,W,3) {self.height, self.width, 3}, not {image.shape}')
        if visualizer is None:
            from mmyolor_mtl.visualization import MTLLocalVisualizer

            visualizer = MTLLocalVisualizer(name=f'result-{id(self)}')
            visualizer.dataset_meta = self.dataset_meta
        rgb = np.ascontiguousarray(image[..., ::-1])
        picture = visualizer.compose(rgb, self.to_sample(), draw_gt=False, pred_score_thr=self.score_thr)[..., ::-1]
        if out_file is not None:
            Path(out_file).parent.mkdir(parents=True, exist_ok=True)
            _write_picture(Path(out_file), picture)
        return np.ascontiguousarray(picture)

    def summary(self) -> str:
        """One line for people."""
        if self.error is not None:
            return f'failed: {self.error}'
        parts = [f'{len(self.labels)} object{"s" if len(self.labels) != 1 else ""}'] if self.detected else []
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
                'class_name': name_of(self.sem_names, labels[i]),
                'share': round(float(counts[i] / self.sem_seg.size), 6),
                'mask': encode_mask(self.sem_seg == labels[i]),
            }
            for i in np.argsort(-counts, kind='stable')
        ]


def _number(value: float | None) -> float | None:
    """A float that JSON can hold."""
    return round(value, 5) if value is not None and np.isfinite(value) else None


def _write_picture(path: Path, pixels: np.ndarray) -> None:
    import cv2

    found, data = cv2.imencode(path.suffix, pixels)
    if not found:
        raise OSError(f'{path}: OpenCV cannot write such a picture')
    _write(path, data.tobytes())


def _write(path: Path, data: bytes) -> None:
    """Write a file that appears complete or not at all."""
    draft = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        draft.write_bytes(data)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
