"""Panels and layout of one picture."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from scipy import ndimage

from mmyolor_mtl.structures import INSTANCE_OFFSET

from . import canvas
from .canvas import Color
from .masks import sample
from .style import Style
from .views import IGNORED, Objects, View

VOID: Color = (90, 90, 90)
HATCH: Color = (200, 200, 200)
_MARGIN: Color = (236, 238, 241)  # beside images that are narrower or lower than their panel
_ACCENT = {'Ground truth': (16, 150, 100), 'Prediction': (59, 110, 220)}
# Long side of a panel in px: smaller images are enlarged so that text stays readable, larger ones reduced.
_MIN_SIDE, _MAX_SIDE = 480, 1024
# A panorama reduced to that would be too low to see anything in: its short side should have so many px, as long as its
# long side stays in bounds.
_MIN_SHORT_SIDE, _MAX_LONG_SIDE = 160, 3072
_MIN_CELL = (100, 320)  # least (height, width) of a panel: labels need some room
_MAX_ROW = 3400  # px that panels may take beside each other
_MANY_TAGS = 12

Legend = list[tuple[str, Color]]


def panel_size(height: int, width: int) -> tuple[int, int]:
    """Size (h, w) in px at which an image is shown."""
    long, short = max(height, width), min(height, width)
    scale = -(-_MIN_SIDE // long) if long < _MIN_SIDE else min(1.0, _MAX_SIDE / long)
    scale = max(scale, min(_MIN_SHORT_SIDE / short, _MAX_LONG_SIDE / long))
    if scale > 1:
        scale = int(scale)  # whole steps keep the pixels of an id map square
    return max(1, round(height * scale)), max(1, round(width * scale))


class Sheet:
    """One picture; sizes of text and lines follow from the image.

    Args:
        style (Style): Names and colours of the classes.
        image (np.ndarray): uint8 (H,W,3), RGB.
        score_thr (float): Lowest score of the objects drawn, to be said in the picture.
    """

    def __init__(self, style: Style, image: np.ndarray, score_thr: float) -> None:
        self.style = style
        self.score_thr = score_thr
        self.height, self.width = panel_size(*image.shape[:2])
        self.scale = np.array([self.width / image.shape[1], self.height / image.shape[0]] * 2)
        interpolation = cv2.INTER_AREA if self.height < image.shape[0] else cv2.INTER_CUBIC
        self.image = cv2.resize(image, (self.width, self.height), interpolation=interpolation)
        unit = max(self.height, self.width)
        self.font_size = int(np.clip(unit / 38, 13, 26))
        self.line = int(np.clip(unit / 300, 2, 4))
        self.gap = self.font_size
        self.cell_height, self.cell_width = max(self.height, _MIN_CELL[0]), max(self.width, _MIN_CELL[1])
        # Where the image lies in its cell.
        self.left, self.top = (self.cell_width - self.width) // 2, (self.cell_height - self.height) // 2

    # ---- layout -----------------------------------------------------------------------------------------------
    def single(self, view: View, parts: Sequence[str]) -> np.ndarray:
        """One view: its panels in a row, the caption below."""
        cells = [self._cell(view, part) for part in parts if part != 'caption']
        grid = self._grid([panel for panel, _ in cells] or [self._in_cell(self.image)])
        rows = [grid, *(self._legend(entries, grid.shape[1]) for _, entries in cells)]
        if 'caption' in parts:
            rows.append(self._captions(view, grid.shape[1]))
        return self._frame(canvas.stack_rows(rows, self.gap))

    def side_by_side(self, views: Sequence[View], parts: Sequence[str]) -> np.ndarray:
        """Several views: one column each, one row a task."""
        rows = []
        if list(parts) == ['caption']:
            rows.append(self._in_cell(self.image))
        for part in parts:
            if part == 'caption':
                cells = [self._captions(view, self.cell_width) for view in views]
            else:
                cells = [self.panel(view, part) for view in views]
            rows.append(self._grid(cells))
        width = max(row.shape[1] for row in rows)
        rows = [canvas.pad_to(row, row.shape[0], width, centre=True) for row in rows]
        return self._frame(canvas.stack_rows(rows, self.gap))

    def panel(self, view: View, part: str, title: str = '') -> np.ndarray:
        """One task of one view, with its legend."""
        panel, entries = self._cell(view, part, title)
        return canvas.stack_rows([panel, self._legend(entries, self.cell_width)], self.gap // 2)

    def _grid(self, cells: Sequence[np.ndarray]) -> np.ndarray:
        """Cells of one width beside each other, as many as the picture may be wide, the others below."""
        in_a_row = max(1, (_MAX_ROW + self.gap) // (cells[0].shape[1] + self.gap))
        rows = [self._row(cells[i : i + in_a_row]) for i in range(0, len(cells), in_a_row)]
        return canvas.stack_rows([canvas.pad_to(row, row.shape[0], rows[0].shape[1]) for row in rows], self.gap)

    def _row(self, cells: Sequence[np.ndarray]) -> np.ndarray:
        height = max(cell.shape[0] for cell in cells)
        space = np.full((height, self.gap, 3), canvas.PAPER, dtype=np.uint8)
        padded = [canvas.pad_to(cell, height, cell.shape[1]) for cell in cells]
        return np.concatenate([part for cell in padded for part in (cell, space)][:-1], axis=1)

    def _frame(self, picture: np.ndarray) -> np.ndarray:
        margin = self.gap
        return cv2.copyMakeBorder(picture, *[margin] * 4, cv2.BORDER_CONSTANT, value=canvas.PAPER)

    def _in_cell(self, panel: np.ndarray) -> np.ndarray:
        return canvas.pad_to(panel, self.cell_height, self.cell_width, centre=True, color=_MARGIN)

    def _cell(self, view: View, part: str, title: str = '') -> tuple[np.ndarray, Legend]:
        """Titled panel of one task, and the entries of its legend."""
        content = part_of(view, part)
        entries: Legend = []
        if content is None:
            panel = self._in_cell((self.image // 4 + 170).astype(np.uint8))
            note = 'not labelled' if view.title == 'Ground truth' else 'not predicted'
        elif part == 'objects':
            panel, note, entries = self._objects(view)
        elif part == 'semantic':
            panel, note, entries = self._semantic(content, view.wrong)
        else:
            panel, note = self._panoptic(content)
        bar = canvas.title_bar(title or f'{view.title}: {part}', note, self.cell_width, self.font_size)
        return canvas.stack_rows([bar, panel], self.gap // 3), entries

    def _legend(self, entries: Legend, width: int) -> np.ndarray:
        return canvas.legend(entries, width, canvas.load_font(max(11, self.font_size * 9 // 10)))

    # ---- objects ----------------------------------------------------------------------------------------------
    def _objects(self, view: View) -> tuple[np.ndarray, str, Legend]:
        objects = view.objects
        assert objects is not None
        crowd = view.crowd or Objects(np.zeros((0, 4)), np.zeros(0, int))
        number = max(_highest(objects.labels), _highest(crowd.labels))
        names, colors = self.style.names(number), self.style.colors(number)
        # Large objects first, so that small ones stay visible on top of them.
        sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
        order = np.argsort(-sides.prod(axis=1), kind='stable')
        panel = self.image.copy()
        for i in range(len(crowd.labels)):
            self._blend(panel, crowd, i, VOID)
        for i in order:
            self._blend(panel, objects, i, colors[objects.labels[i]])
        panel = self._in_cell(panel)
        boxes = {i: self._draw_box(panel, objects.boxes[i], colors[objects.labels[i]]) for i in order}
        order = order if objects.scores is None else np.argsort(-objects.scores, kind='stable')
        tags = [(text, colors[objects.labels[i]], boxes[i]) for i in order if (text := _tag(objects, i, names))]
        for box, label in zip(crowd.boxes, crowd.labels, strict=True):
            tags.append((f'{names[label]} (crowd)', VOID, self._draw_box(panel, box, VOID)))
        panel, left_out = canvas.draw_tags(panel, tags, canvas.load_font(self._tag_size(len(tags))))
        note = f'{len(order)} object{"s" if len(order) != 1 else ""}'
        if objects.scores is not None:
            note += f', score \u2265 {self.score_thr:g}'
        if not left_out:
            return panel, note, []
        # Where labels had no room, the legend says which colour is what.
        counts = Counter(objects.labels.tolist()).most_common()
        entries = [(f'{names[label]} \u00d7 {count}', colors[label]) for label, count in counts]
        return panel, f'{note}, {len(left_out)} without label', entries

    def _blend(self, panel: np.ndarray, objects: Objects, index: int, color: Color) -> None:
        if objects.masks is None:
            return
        mask, corner = objects.masks.window(index, self.height, self.width)
        canvas.blend_mask(panel, mask, corner, color, self.style.mask_alpha)
        if mask.size and color != VOID:
            canvas.outline_mask(panel, mask, corner, color, max(1, self.line // 2))

    def _draw_box(self, panel: np.ndarray, box: np.ndarray, color: Color) -> tuple[int, ...]:
        # Boxes may reach far out of the image, where OpenCV's numbers end.
        inside = np.clip(np.nan_to_num(box * self.scale), 0, [self.width, self.height] * 2)
        x1, y1, x2, y2 = (np.round(inside).astype(int) + [self.left, self.top] * 2).tolist()
        cv2.rectangle(panel, (x1, y1), (x2, y2), color, self.line, cv2.LINE_AA)
        return x1, y1, x2, y2

    def _tag_size(self, number: int) -> int:
        """Many labels must leave something of the image to see."""
        return self.font_size * 9 // 10 if number <= _MANY_TAGS else max(11, self.font_size * 7 // 10)

    # ---- maps -------------------------------------------------------------------------------------------------
    def _semantic(self, ids: np.ndarray, wrong: np.ndarray | None) -> tuple[np.ndarray, str, Legend]:
        counts = _count(ids)
        unlabelled = int(counts[IGNORED]) if len(counts) > IGNORED else 0
        present = [int(i) for i in np.argsort(-counts, kind='stable') if counts[i] and i != IGNORED]
        number = _highest(present)
        names, colors = self.style.names(number), self.style.colors(number)
        table = np.zeros((max(number, IGNORED + 1), 3), np.uint8)
        table[IGNORED] = VOID
        table[present] = [colors[i] for i in present]
        shown = sample(ids, self.height, self.width)
        panel = self._overlay(shown, table)
        if unlabelled:
            canvas.hatch(panel, shown == IGNORED, HATCH, self.font_size * 2 // 3)
        entries = [(f'{names[i]} {_percent(counts[i] / ids.size)}', colors[i]) for i in present]
        if unlabelled:
            entries.insert(0, (f'unlabelled {_percent(unlabelled / ids.size)}', HATCH))
        note = f'{len(present)} class{"es" if len(present) != 1 else ""}'
        if wrong is not None:
            right = ~sample(wrong, self.height, self.width)
            panel[right] = panel[right] // 4 + 191
            note += f', {_percent(float(wrong.mean()))} wrong (full colour)'
        return self._in_cell(panel), note, entries

    def _panoptic(self, ids: np.ndarray) -> tuple[np.ndarray, str]:
        segments = np.flatnonzero(_count(ids))
        labels = segments % INSTANCE_OFFSET
        number = _highest(labels)
        names, colors = self.style.names(number), self.style.colors(number)
        seen: Counter[int] = Counter()
        table = np.zeros((len(segments), 3), np.uint8)
        for i, (segment, label) in enumerate(zip(segments, labels, strict=True)):
            table[i] = VOID if segment == self.style.num_evaluated else canvas.shade(colors[label], seen[label])
            seen[label] += 1
        shown = np.searchsorted(segments, sample(ids, self.height, self.width))
        panel = self._in_cell(self._overlay(shown, table))
        areas = np.bincount(shown.ravel(), minlength=len(segments))
        windows = ndimage.find_objects(shown + 1, len(segments))
        found = [i for i, segment in enumerate(segments) if segment != self.style.num_evaluated]
        texts = []
        for i in sorted(found, key=lambda i: -areas[i]):
            if areas[i] >= 0.004 * shown.size:
                x, y = _inner_point(shown[windows[i]] == i)
                rows, columns = windows[i]
                texts.append((names[labels[i]], (x + columns.start + self.left, y + rows.start + self.top)))
        panel = canvas.write_centred(panel, texts, canvas.load_font(self._tag_size(len(texts)), bold=True))
        return panel, f'{len(found)} segment{"s" if len(found) != 1 else ""}'

    def _overlay(self, ids: np.ndarray, table: np.ndarray) -> np.ndarray:
        alpha = self.style.sem_alpha
        # On grey, a class looks the same whatever the colours of the image below it.
        grey = cv2.cvtColor(cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        panel = cv2.addWeighted(grey, 1 - alpha, np.ascontiguousarray(table[ids]), alpha, 0)
        panel[canvas.region_borders(ids, max(1, self.line // 2))] = (245, 245, 245)
        return panel

    # ---- captions ---------------------------------------------------------------------------------------------
    def _captions(self, view: View, width: int) -> np.ndarray:
        accent = _ACCENT[view.title]
        if not view.captions:
            note = 'not labelled' if view.title == 'Ground truth' else 'not predicted'
            return canvas.text_strip([], width, self.font_size, accent, f'{view.title}: caption {note}')
        size = self.font_size
        if len(view.captions) == 1:
            tail = f'{view.title}: caption'
            if view.caption_score is not None:
                tail += f', score {view.caption_score:.2f}'
            return canvas.text_strip([(view.captions[0] or '(no words)', True)], width, size * 11 // 10, accent, tail)
        paragraphs = [(caption, False) for caption in view.captions]
        return canvas.text_strip(paragraphs, width, max(11, size * 9 // 10), accent, f'{view.title}: captions')


def part_of(view: View, panel: str) -> Any:
    """What of a view a panel shows; None where it has no such part."""
    parts = {'objects': view.objects, 'semantic': view.semantic, 'panoptic': view.panoptic, 'caption': view.captions}
    return parts[panel]


def _highest(labels: Sequence[int] | np.ndarray) -> int:
    return int(np.max(labels, initial=-1)) + 1


def _count(ids: np.ndarray) -> np.ndarray:
    """How often each id occurs in a map (H,W), in a few MB whatever its size."""
    counts = np.zeros(int(ids.max(initial=0)) + 1, np.int64)
    step = max(1, 2**20 // ids.shape[1])
    for start in range(0, len(ids), step):
        counts += np.bincount(ids[start : start + step].ravel(), minlength=len(counts))
    return counts


def _tag(objects: Objects, index: int, names: Sequence[str]) -> str:
    text = names[objects.labels[index]]
    if objects.scores is not None:
        text += f' {objects.scores[index]:.2f}'
    if objects.notes is None:
        return text
    return f'{text}: {objects.notes[index]}' if objects.notes[index] else ''


def _percent(share: float) -> str:
    return f'{share:.0%}' if share >= 0.01 or not share else '<1%'


def _inner_point(region: np.ndarray) -> tuple[int, int]:
    """The (x, y) of a region that lies farthest from its edge."""
    framed = cv2.copyMakeBorder(region.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    _, _, _, (x, y) = cv2.minMaxLoc(cv2.distanceTransform(framed, cv2.DIST_L2, 3))
    return x - 1, y - 1
