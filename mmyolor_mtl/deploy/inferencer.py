"""Run an exported network on files, folders and arrays: numpy, OpenCV and a runtime, no torch."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmyolor_mtl.postprocess import Placement, assemble_masks, fuse_panoptic, semantic_labels
from mmyolor_mtl.structures import MTLResult

from .captioner import Captioner
from .description import CAPTION_FILE, VISION_FILE, read_description
from .images import Input, LoadedImage, list_inputs, load_image, make_batch
from .nms import Detections, select_detections
from .runtimes import Arrays, load_graph

# Outputs of the vision graph that a result is made of, and results that it is made of.
_OUTPUTS = {
    'det': ('boxes', 'scores'),
    'ins': ('boxes', 'scores', 'mask_coefs', 'mask_protos'),
    'sem': ('sem_logits',),
    'pan': ('boxes', 'scores', 'mask_coefs', 'mask_protos', 'sem_logits'),
}


class OnnxInferencer:
    """An exported network, ready for pictures: the results of ``mmyolor_mtl.apis.MTLInferencer`` without torch.

    Args:
        network (str | Path): Folder that ``tools/deployment/export_onnx.py`` wrote, or the JSON file in it.
        runtime (str): 'onnxruntime' or 'openvino', which must be installed.
        tasks (Sequence[str], optional): Results that are wanted, out of 'det', 'ins', 'sem', 'pan' and 'cap'; nothing
            is computed for others. All that the network has by default.
        threads (int, optional): Threads to compute with; the runtime's choice by default.
        precision (str): 'fp32', or 'bf16' with OpenVINO on processors that have it.
        img_scale (tuple[int, int], optional): (w, h) of the network's input in px, multiples of 32, in place of that
            of the config.

    Raises:
        FileNotFoundError: A file is missing.
        ImportError: The runtime is not installed.
        ValueError: An argument means nothing to this network; the message names it.

    Examples:
        >>> inferencer = OnnxInferencer('exported/')  # doctest: +SKIP
        >>> result = inferencer('street.jpg')[0]  # doctest: +SKIP
        >>> result.caption, result.class_names  # doctest: +SKIP
    """

    def __init__(
        self,
        network: str | Path,
        runtime: str = 'onnxruntime',
        tasks: Sequence[str] | None = None,
        threads: int | None = None,
        precision: str = 'fp32',
        img_scale: tuple[int, int] | None = None,
    ) -> None:
        folder, self._description = read_description(network)
        self.tasks = _check_tasks(tasks, self._description['tasks'])
        self.dataset_meta: dict[str, Any] = self._description['dataset_meta']
        self._letterbox = dict(self._description['letterbox'])
        if img_scale is not None:
            self._letterbox['scale'] = _check_scale(img_scale, self._description['input']['divisor'])
        kwargs: dict[str, Any] = dict(runtime=runtime, threads=threads, precision=precision)
        caption = self._description['caption']
        outputs = [name for task in self.tasks if task != 'cap' for name in _OUTPUTS[task]]
        self._captioner = None
        if 'cap' in self.tasks:
            outputs += caption['memory']
            self._captioner = Captioner(folder / CAPTION_FILE, caption, **kwargs)
        self._vision = load_graph(folder / VISION_FILE, list(dict.fromkeys(outputs)), **kwargs)

    def __call__(self, inputs: Input | Sequence[Input], batch_size: int = 1, score_thr: float = 0.3) -> list[MTLResult]:
        """Results of all inputs, in order; arguments as in :meth:`stream`."""
        return list(self.stream(inputs, batch_size, score_thr))

    def stream(
        self, inputs: Input | Sequence[Input], batch_size: int = 1, score_thr: float = 0.3
    ) -> Iterator[MTLResult]:
        """Results one by one, for inputs too many to hold.

        An input that cannot be used yields a result with ``error`` set and does not end the run.

        Args:
            inputs (str | Path | np.ndarray | Sequence): File, folder, BGR uint8 array (H,W,3) or grey (H,W), or a list
                of files and arrays.
            batch_size (int): Pictures a run of the vision graph.
            score_thr (float): Lowest score of objects in the results.

        Raises:
            FileNotFoundError: The only file or folder given does not exist, or a folder or list holds no image.
            ValueError: ``batch_size`` is below 1.
        """
        if batch_size < 1:
            raise ValueError(f'batch_size={batch_size} must be at least 1')
        return self._stream(list_inputs(inputs), batch_size, score_thr)

    def _stream(self, items: Sequence[Input], batch_size: int, score_thr: float) -> Iterator[MTLResult]:
        for start in range(0, len(items), batch_size):
            images = [load_image(item, start + i) for i, item in enumerate(items[start : start + batch_size])]
            results = iter(self._predict([image for image in images if image.pixels is not None], score_thr))
            for image in images:
                yield MTLResult(image.name, error=image.error) if image.pixels is None else next(results)

    def _predict(self, images: Sequence[LoadedImage], score_thr: float) -> list[MTLResult]:
        if not images:
            return []
        batch = make_batch([image.pixels for image in images], self._letterbox, self._description['input'])
        feeds = {'image': batch.pixels}
        if self._description['caption'] is not None and self._description['caption']['takes_region']:
            feeds['region'] = batch.regions
        outputs = self._vision(feeds)
        captions: list[dict[str, Any]] = [{} for _ in images]
        if self._captioner is not None:
            memory = {name: outputs[name] for name in self._description['caption']['memory']}
            captions = self._captioner(memory, len(images))
        results = []
        for i, (image, meta, caption) in enumerate(zip(images, batch.metas, captions, strict=True)):
            sample = _Fields(meta, **self._vision_results(outputs, i, meta, score_thr), **caption)
            results.append(MTLResult.from_sample(sample, self.dataset_meta, image.name, score_thr))
        return results

    def _vision_results(self, outputs: Arrays, i: int, meta: Mapping[str, Any], score_thr: float) -> dict[str, Any]:
        """Predictions for picture ``i``, named as the heads name them."""
        wanted, placement = set(self.tasks), Placement.from_meta(meta)
        found: dict[str, Any] = {}
        masks = sem_seg = None
        if wanted & {'det', 'ins', 'pan'}:
            detections = self._detect(outputs['boxes'][i], outputs['scores'][i], score_thr)
            if wanted & {'ins', 'pan'}:
                coefs, protos = outputs['mask_coefs'][i][detections.anchors], outputs['mask_protos'][i]
                stride = self._description['masks']['stride']
                masks = assemble_masks(coefs, protos, detections.boxes, stride, placement)
            if wanted & {'det', 'ins'}:
                boxes = to_image_space(detections.boxes, meta)
                instances = _Fields(bboxes=boxes, scores=detections.scores, labels=detections.labels)
                if 'ins' in wanted and masks is not None:
                    instances['masks'] = masks.to_rle()
                found['pred_instances'] = instances
        if wanted & {'sem', 'pan'}:
            sem_seg = semantic_labels(outputs['sem_logits'][i], self._description['semantic']['stride'], placement)
            if 'sem' in wanted:
                found['pred_sem_seg'] = _Fields(sem_seg=sem_seg[None])
        if 'pan' in wanted:
            panoptic = fuse_panoptic(
                masks, detections.scores, detections.labels, sem_seg, **self._description['panoptic']
            )
            found['pred_panoptic_seg'] = _Fields(sem_seg=panoptic[None])
        return found

    def _detect(self, boxes: np.ndarray, scores: np.ndarray, score_thr: float) -> Detections:
        """Detections that somebody will see: those above the threshold of the results or of the panoptic map."""
        detections = select_detections(boxes, scores, self._description['detection'])
        lowest = min(score_thr, self._description['panoptic']['score_thr']) if 'pan' in self.tasks else score_thr
        count = int((detections.scores >= lowest).sum())
        return Detections(*(part[:count] for part in detections))


class _Fields(dict):
    """Fields as mmdet's data samples have them, for what reads those."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def to_image_space(boxes: np.ndarray, meta: Mapping[str, Any]) -> np.ndarray:
    """Undo the letterbox: subtract the padding, divide by the scale, clip to the original picture.

    Args:
        boxes (np.ndarray): (K, 4) float32 xyxy px of the network's input.
        meta (Mapping): ``pad_param`` (top, bottom, left, right), ``scale_factor`` (w, h), ``ori_shape`` (h, w).
    """
    top, _, left, _ = meta['pad_param']
    height, width = meta['ori_shape']
    shift = np.array([left, top, left, top], np.float32)
    scale = np.array([*meta['scale_factor']] * 2, np.float32)
    return np.clip((boxes - shift) / scale, 0, np.array([width, height, width, height], np.float32))


def _check_tasks(tasks: Sequence[str] | None, available: Sequence[str]) -> tuple[str, ...]:
    if tasks is None:
        return tuple(available)
    if isinstance(tasks, str) or not tasks or not set(tasks) <= set(available):
        raise ValueError(f'tasks={tasks!r}: give some of {tuple(available)}, which this network has')
    return tuple(task for task in available if task in tasks)


def _check_scale(img_scale: Sequence[int], divisor: int) -> tuple[int, int]:
    width, height = img_scale
    if min(width, height) < 2 * divisor or width % divisor or height % divisor:
        raise ValueError(f'img_scale={tuple(img_scale)} must be (w, h), multiples of {divisor} from {2 * divisor} on')
    return int(width), int(height)
