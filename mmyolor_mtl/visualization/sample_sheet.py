"""What a data set serves, as one picture: both views of a sample with all labels, and each step of its pipeline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from mmdet.structures import DetDataSample

from mmyolor_mtl.utils.arrays import to_numpy

from . import canvas
from .mtl_visualizer import MTLLocalVisualizer
from .views import View, ground_truth_view

TASKS = ('det', 'ins', 'sem', 'cap')
_ACCENT = (16, 150, 100)
_WIDTH = 560  # of a panel, px
_IN_A_ROW = 3
_FONT = 16
_GAP = 14


@dataclass
class Stage:
    """A sample at some point of its pipeline.

    Attributes:
        title: What happened last.
        pixels: uint8 (H,W,3) RGB, what the network or the next transform gets.
        sample: The labels so far, as ``PackMTLInputs`` packs them; None before any are loaded.
        original: uint8 (h,w,3) RGB, the picture of the file, if the labels live there and not on ``pixels``.
    """

    title: str
    pixels: np.ndarray
    sample: DetDataSample | None = None
    original: np.ndarray | None = None


class SampleSheet:
    """Draws samples of a data set as sheets of panels: objects, semantic map, caption view.

    The semantic map of a sample may have several layers (mixup, copy-paste); each has a panel. Pixels without a label
    are hatched.

    Args:
        dataset_meta (Mapping): Metainfo with names and colours of the classes.
        tokenizer (optional): Turns ``gt_caption_ids`` back into words. Without it the ids are only counted.
    """

    def __init__(self, dataset_meta: Mapping, tokenizer: Any = None) -> None:
        self.visualizer = MTLLocalVisualizer()
        self.visualizer.dataset_meta = dict(dataset_meta)
        self.tokenizer = tokenizer

    def draw(self, heading: str, stages: Sequence[Stage]) -> np.ndarray:
        """Draw the stages of one sample below each other.

        Args:
            heading (str): Stands above them.
            stages (Sequence[Stage]): At least one. A stage that changed nothing is one line.

        Returns:
            np.ndarray: uint8 (h,w,3), RGB.
        """
        rows = [self._row(stage, previous) for stage, previous in zip(stages, [None, *stages[:-1]], strict=True)]
        final = stages[-1].sample
        tasks = () if final is None else final.get('labelled_tasks', ())
        width = max(row.shape[1] for row in rows)
        bar = canvas.title_bar(heading, _describe_tasks(tasks), width, _FONT * 5 // 4)
        rows = [bar, *(canvas.pad_to(row, row.shape[0], width) for row in rows)]
        return cv2.copyMakeBorder(
            canvas.stack_rows(rows, 2 * _GAP), *[2 * _GAP] * 4, cv2.BORDER_CONSTANT, value=canvas.PAPER
        )

    def _row(self, stage: Stage, previous: Stage | None) -> np.ndarray:
        panels = []
        if previous is None or _differ(_vision(stage), _vision(previous)):
            panels += self._vision_panels(stage)
        if _captions(stage) - _captions(previous):
            panels.append(self._caption_panel(stage, previous))
        if not panels:
            return canvas.title_bar(stage.title, 'nothing changed', 2 * _WIDTH + _GAP, _FONT)
        lines = [_side_by_side(panels[i : i + _IN_A_ROW]) for i in range(0, len(panels), _IN_A_ROW)]
        width = max(line.shape[1] for line in lines)
        lines = [canvas.pad_to(line, line.shape[0], width) for line in lines]
        return canvas.stack_rows([canvas.title_bar(stage.title, '', width, _FONT), *lines], _GAP // 2)

    # ---- panels -----------------------------------------------------------------------------------------------
    def _vision_panels(self, stage: Stage) -> list[np.ndarray]:
        size = f'{stage.pixels.shape[1]} x {stage.pixels.shape[0]} px'
        if stage.sample is None:
            return [_titled('picture', size, stage.pixels)]
        panels = [] if stage.original is None else [_titled('network input', size, stage.pixels)]
        picture = stage.pixels if stage.original is None else stage.original
        # The numbers of classes are for the panoptic map, of which there is no panel.
        view = ground_truth_view(stage.sample, 0, 0)
        panels.append(self._panel(picture, view, 'objects', 'objects'))
        if view.semantic is None:
            return [*panels, self._panel(picture, view, 'semantic', 'semantic map')]
        layers = to_numpy(stage.sample.gt_sem_seg.sem_seg).astype(np.int64)
        for number, layer in enumerate(layers, start=1):
            title = 'semantic map' if len(layers) == 1 else f'semantic map, layer {number} of {len(layers)}'
            panels.append(self._panel(picture, View('', semantic=layer), 'semantic', title))
        return panels

    def _panel(self, picture: np.ndarray, view: View, part: str, title: str) -> np.ndarray:
        return _fit(self.visualizer.draw_panel(picture, view, part, title))

    def _caption_panel(self, stage: Stage, previous: Stage | None) -> np.ndarray:
        """Of the caption view, the captions drawn for it and all captions of the file, what the stage has added."""
        sample = stage.sample
        assert sample is not None
        new = _captions(stage) - _captions(previous)
        parts = []
        if 'caption_view' in new:
            parts.append(_framed_view(sample))
        if 'gt_caption_ids' in new:
            parts.append(self._decoded(to_numpy(sample.gt_caption_ids)))
        if 'gt_captions' in new:
            paragraphs = [(caption, False) for caption in sample.gt_captions]
            parts.append(canvas.text_strip(paragraphs, _WIDTH, _FONT, _ACCENT, 'gt_captions, all of the file'))
        return canvas.stack_rows(parts, _GAP // 2)

    def _decoded(self, ids: np.ndarray) -> np.ndarray:
        note = f'gt_caption_ids, {ids.shape[0]} x {ids.shape[1]}'
        paragraphs: list[tuple[str, bool]] = []
        if self.tokenizer is not None:
            paragraphs = [(self.tokenizer.decode(row) or '(no words)', True) for row in ids]
            note += f' decoded, {(ids == self.tokenizer.unk_id).sum()} unknown words left out'
        return canvas.text_strip(paragraphs, _WIDTH, _FONT, _ACCENT, note)


def _side_by_side(panels: Sequence[np.ndarray]) -> np.ndarray:
    height = max(panel.shape[0] for panel in panels)
    space = np.full((height, _GAP, 3), canvas.PAPER, dtype=np.uint8)
    padded = [canvas.pad_to(panel, height, _WIDTH) for panel in panels]
    return np.concatenate([part for panel in padded for part in (panel, space)][:-1], axis=1)


def _framed_view(sample: DetDataSample) -> np.ndarray:
    """The caption view; its padding is dimmed and the region of the picture framed."""
    view = np.ascontiguousarray(to_numpy(sample.caption_view)[::-1].transpose(1, 2, 0))
    x1, y1, x2, y2 = sample.caption_region
    dimmed = view // 2
    dimmed[y1:y2, x1:x2] = view[y1:y2, x1:x2]
    cv2.rectangle(dimmed, (x1, y1), (x2 - 1, y2 - 1), _ACCENT, max(1, view.shape[1] // 200))
    size = f'{view.shape[1]} x {view.shape[0]} px, picture {x2 - x1} x {y2 - y1} px at ({x1}, {y1})'
    return _titled('caption view', size, dimmed)


def _vision(stage: Stage) -> dict[str, Any]:
    """Pixels of a stage and its labels for vision."""
    found: dict[str, Any] = {'pixels': stage.pixels}
    if stage.sample is not None:
        if 'gt_sem_seg' in stage.sample:
            found['semantic'] = to_numpy(stage.sample.gt_sem_seg.sem_seg)
        for key in ('gt_instances', 'ignored_instances'):
            found.update({f'{key}.{name}': to_numpy(value) for name, value in stage.sample.get(key).items()})
    return found


def _captions(stage: Stage | None) -> set[str]:
    """What a stage has for captions; none of it changes once it is there."""
    keys = ('caption_view', 'gt_caption_ids', 'gt_captions')
    return {key for key in keys if stage is not None and stage.sample is not None and key in stage.sample}


def _differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() != other.keys() or any(not np.array_equal(one[key], other[key]) for key in one)


def _describe_tasks(tasks: Sequence[str]) -> str:
    missing = [task for task in TASKS if task not in tasks]
    labelled = f'labelled: {", ".join(tasks) or "nothing"}'
    return f'{labelled}; not labelled: {", ".join(missing)}' if missing else labelled


def _titled(title: str, note: str, picture: np.ndarray) -> np.ndarray:
    return canvas.stack_rows([canvas.title_bar(title, note, _WIDTH, _FONT), _fit(picture)], _GAP // 3)


def _fit(picture: np.ndarray) -> np.ndarray:
    """Resize to the width of a panel."""
    scale = _WIDTH / picture.shape[1]
    size = (_WIDTH, max(1, round(picture.shape[0] * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
