"""One picture for all tasks: objects, semantic map, panoptic map and caption, ground truth beside prediction."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import cv2
import mmcv
import numpy as np
from mmdet.evaluation import INSTANCE_OFFSET
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.dist import master_only

from mmyolor_mtl.registry import VISUALIZERS
from mmyolor_mtl.utils.arrays import to_numpy

from . import canvas
from .canvas import Color
from .views import IGNORED, Objects, View, ground_truth_view, prediction_view

PANELS = ('objects', 'semantic', 'panoptic', 'caption')
_VOID: Color = (90, 90, 90)
_HATCH: Color = (200, 200, 200)
_ACCENT = {'Ground truth': (16, 150, 100), 'Prediction': (59, 110, 220)}
# Long side of a panel in px: smaller images are enlarged so that text stays readable, larger ones reduced.
_MIN_SIDE, _MAX_SIDE = 480, 1024


@VISUALIZERS.register_module()
class MTLLocalVisualizer(DetLocalVisualizer):
    """Draws everything a sample carries into one picture.

    Objects get translucent masks, boxes and labels; the semantic map lies over the image, with a legend of the classes
    that occur; the panoptic map shows every segment in its own shade; captions stand below. With ground truth and
    prediction, the ground truth stands at the left and the prediction at the right, task by task. Text and lines keep
    their size relative to the picture, whatever the size of the image.

    ``dataset_meta`` gives ``classes``, ``stuff_classes`` and ``extra_classes`` with ``palette`` and ``stuff_palette``;
    where names or colours are missing, numbers and generated colours stand in.

    Args:
        name (str): Name of the instance.
        panels (Sequence[str]): What to draw, of 'objects', 'semantic', 'panoptic' and 'caption'.
        mask_alpha (float): Opacity of object masks in [0, 1].
        sem_alpha (float): Opacity of semantic and panoptic maps in [0, 1].
        **kwargs: Arguments of mmdet's ``DetLocalVisualizer``.

    Raises:
        ValueError: A panel is unknown, or none is given.

    Examples:
        >>> visualizer = MTLLocalVisualizer()
        >>> visualizer.dataset_meta = dict(classes=('cat',), stuff_classes=('grass', 'sky'))
        >>> visualizer.add_datasample('name', image, data_sample, out_file='picture.png')  # doctest: +SKIP
    """

    def __init__(
        self,
        name: str = 'visualizer',
        *args: Any,
        panels: Sequence[str] = PANELS,
        mask_alpha: float = 0.45,
        sem_alpha: float = 0.6,
        **kwargs: Any,
    ) -> None:
        super().__init__(name, *args, **kwargs)
        unknown = set(panels) - set(PANELS)
        if unknown or not panels:
            raise ValueError(f'panels={tuple(panels)}: give some of {PANELS}')
        self.panels = tuple(panels)
        self.mask_alpha = mask_alpha
        self.sem_alpha = sem_alpha

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: DetDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        pred_score_thr: float = 0.3,
        step: int = 0,
    ) -> None:
        """Draw a sample and show it, write it to ``out_file``, or hand it to the visualisation backends.

        Args:
            name (str): Identifier of the picture.
            image (np.ndarray): uint8 (H,W,3), RGB.
            data_sample (DetDataSample, optional): Annotations and predictions, at the size of ``image``.
            draw_gt (bool): Whether to draw annotations that the sample has.
            draw_pred (bool): Whether to draw predictions that the sample has.
            show (bool): Whether to open a window instead of storing the picture.
            wait_time (float): Seconds the window stays, 0 = until a key is pressed.
            out_file (str, optional): File to write; its folder is made.
            pred_score_thr (float): Lowest score of objects to draw.
            step (int): Step that the backends file the picture under.

        Raises:
            ValueError: A map or mask has another size than the image.
        """
        picture = self.compose(image, data_sample, draw_gt, draw_pred, pred_score_thr)
        self.set_image(picture)
        if show:
            self.show(picture, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(picture[..., ::-1], str(out_file))
        elif not show:
            self.add_image(name, picture, step)

    def compose(
        self,
        image: np.ndarray,
        data_sample: DetDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        pred_score_thr: float = 0.3,
    ) -> np.ndarray:
        """Draw a sample; arguments as in :meth:`add_datasample`.

        Returns:
            np.ndarray: The picture, uint8 (h,w,3), RGB; the plain image where the sample has nothing to draw.
        """
        image = np.ascontiguousarray(image.clip(0, 255).astype(np.uint8))
        views: list[View] = []
        if data_sample is not None:
            names = self._names(0)
            num_things = len(self.dataset_meta.get('classes') or ())
            num_evaluated = len(names) - len(self.dataset_meta.get('extra_classes') or ())
            if draw_gt:
                views.append(ground_truth_view(data_sample, num_things, num_evaluated))
            if draw_pred:
                views.append(prediction_view(data_sample, pred_score_thr))
        views = [view for view in views if not view.is_empty]
        for view in views:
            _check_sizes(view, image.shape[:2])
        parts = [panel for panel in self.panels if any(_part(view, panel) is not None for view in views)]
        if not parts:
            return image
        sheet = _Sheet(self, image, pred_score_thr)
        return sheet.side_by_side(views, parts) if len(views) > 1 else sheet.single(views[0], parts)

    def draw_panel(self, image: np.ndarray, view: View, part: str, title: str) -> np.ndarray:
        """Draw one part of a view with its title and legend, enlarged or reduced to a readable size.

        Args:
            image (np.ndarray): uint8 (H,W,3), RGB.
            view (View): What there is to draw, at the size of ``image``.
            part (str): 'objects', 'semantic' or 'panoptic'.
            title (str): Stands above it.

        Returns:
            np.ndarray: uint8 (h,w,3), RGB.

        Raises:
            ValueError: A map or mask has another size than the image.
        """
        _check_sizes(view, image.shape[:2])
        return _Sheet(self, np.ascontiguousarray(image), 0.0).panel(view, part, title)

    def _names(self, number: int) -> list[str]:
        """Names of all semantic channels, filled up to ``number``."""
        meta = self.dataset_meta
        names = [n for key in ('classes', 'stuff_classes', 'extra_classes') for n in meta.get(key) or ()]
        return names + [f'class {i}' for i in range(len(names), number)]

    def _colors(self, number: int) -> list[Color]:
        """Colours of all semantic channels, filled up to ``number``."""
        meta = self.dataset_meta
        things, stuff = len(meta.get('classes') or ()), len(meta.get('stuff_classes') or ())
        colors = canvas.class_colors(things, meta.get('palette'))
        if stuff:
            # Generated colours of stuff continue where those of things end.
            generated = canvas.class_colors(things + stuff)[things:]
            given = canvas.class_colors(stuff, meta.get('stuff_palette'))
            colors += given if meta.get('stuff_palette') else generated
        colors += [(150 - 40 * i % 120,) * 3 for i in range(len(meta.get('extra_classes') or ()))]
        return colors + canvas.class_colors(max(number, len(colors)))[len(colors) :]


class _Sheet:
    """Panels and layout of one picture; sizes follow from the image."""

    def __init__(self, style: MTLLocalVisualizer, image: np.ndarray, score_thr: float) -> None:
        self.style = style
        self.score_thr = score_thr
        self.source_shape = image.shape[:2]
        long_side = max(self.source_shape)
        scale = 1.0 if _MIN_SIDE <= long_side <= _MAX_SIDE else _MAX_SIDE / long_side
        if long_side < _MIN_SIDE:
            scale = -(-_MIN_SIDE // long_side)  # whole steps keep the pixels of an id map square
        self.height, self.width = (max(1, round(side * scale)) for side in self.source_shape)
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        self.image = cv2.resize(image, (self.width, self.height), interpolation=interpolation)
        self.scale = scale
        unit = max(self.height, self.width)
        self.font_size = int(np.clip(unit / 38, 13, 26))
        self.line = max(2, round(unit / 300))
        self.gap = self.font_size
        self.cell_width = max(self.width, 320)

    # ---- layout -----------------------------------------------------------------------------------------------
    def single(self, view: View, parts: Sequence[str]) -> np.ndarray:
        """One view: its panels in a row, the caption below."""
        cells = [self._cell(view, part) for part in parts if part != 'caption']
        row = self._row([panel for panel, _ in cells] or [self._centred(self.image)])
        rows = [row, *(self._legend(entries, row.shape[1]) for _, entries in cells)]
        if 'caption' in parts:
            rows.append(self._captions(view, row.shape[1]))
        return self._frame(canvas.stack_rows(rows, self.gap))

    def side_by_side(self, views: Sequence[View], parts: Sequence[str]) -> np.ndarray:
        """Several views: one column each, one row a task."""
        rows = []
        for part in parts:
            if part == 'caption':
                cells = [self._captions(view, self.cell_width) for view in views]
            else:
                cells = [self.panel(view, part) for view in views]
            rows.append(self._row(cells))
        return self._frame(canvas.stack_rows(rows, self.gap))

    def panel(self, view: View, part: str, title: str = '') -> np.ndarray:
        """One task of one view, with its legend."""
        panel, entries = self._cell(view, part, title)
        return canvas.stack_rows([panel, self._legend(entries, self.cell_width)], self.gap // 2)

    def _row(self, cells: Sequence[np.ndarray]) -> np.ndarray:
        height = max(cell.shape[0] for cell in cells)
        space = np.full((height, self.gap, 3), canvas.PAPER, dtype=np.uint8)
        padded = [canvas.pad_to(cell, height, cell.shape[1]) for cell in cells]
        return np.concatenate([part for cell in padded for part in (cell, space)][:-1], axis=1)

    def _frame(self, picture: np.ndarray) -> np.ndarray:
        margin = self.gap
        return cv2.copyMakeBorder(picture, *[margin] * 4, cv2.BORDER_CONSTANT, value=canvas.PAPER)

    def _cell(self, view: View, part: str, title: str = '') -> tuple[np.ndarray, list[tuple[str, Color]]]:
        """Titled panel of one task, and the entries of its legend."""
        content = _part(view, part)
        entries: list[tuple[str, Color]] = []
        if content is None:
            panel, note = self._blank(), 'not labelled' if view.title == 'Ground truth' else 'not predicted'
        elif part == 'objects':
            panel, note = self._objects(view)
        elif part == 'semantic':
            panel, note, entries = self._semantic(content)
        else:
            panel, note = self._panoptic(content)
        bar = canvas.title_bar(title or f'{view.title}: {part}', note, self.cell_width, self.font_size)
        return canvas.stack_rows([bar, self._centred(panel)], self.gap // 3), entries

    def _centred(self, panel: np.ndarray) -> np.ndarray:
        return canvas.pad_to(panel, self.height, self.cell_width, centre=True)

    def _legend(self, entries: Sequence[tuple[str, Color]], width: int) -> np.ndarray:
        return canvas.legend(entries, width, canvas.load_font(max(11, self.font_size * 9 // 10)))

    # ---- panels -----------------------------------------------------------------------------------------------
    def _objects(self, view: View) -> tuple[np.ndarray, str]:
        objects = view.objects
        assert objects is not None
        panel = self.image.copy()
        number = int(objects.labels.max(initial=-1)) + 1
        names, colors = self.style._names(number), self.style._colors(number)
        # Large objects first, so that small ones stay visible on top of them.
        sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
        order = np.argsort(-sides.prod(axis=1), kind='stable')
        for i in order:
            color = colors[objects.labels[i]]
            if objects.masks is not None:
                mask = self._enlarge_mask(objects.masks[i])
                canvas.blend_mask(panel, mask, color, self.style.mask_alpha)
                canvas.outline_mask(panel, mask, color, max(1, self.line // 2))
        tags = []
        for i in order:
            color, text = colors[objects.labels[i]], names[objects.labels[i]]
            box = self._draw_box(panel, objects.boxes[i], color)
            tags.append((text if objects.scores is None else f'{text} {objects.scores[i]:.2f}', color, box))
        tags += self._crowd(panel, view.crowd, names)
        # Many labels must leave something of the image to see.
        size = self.font_size * 9 // 10 if len(tags) <= 12 else max(11, self.font_size * 7 // 10)
        panel = canvas.draw_tags(panel, tags, canvas.load_font(size))
        note = f'{len(order)} object{"s" if len(order) != 1 else ""}'
        return panel, note if objects.scores is None else f'{note}, score \u2265 {self.score_thr:g}'

    def _crowd(
        self, panel: np.ndarray, crowd: Objects | None, names: Sequence[str]
    ) -> list[tuple[str, Color, tuple[float, ...]]]:
        """Regions that evaluation ignores, in grey."""
        tags = []
        for i in range(0 if crowd is None else len(crowd.labels)):
            assert crowd is not None
            if crowd.masks is not None:
                canvas.blend_mask(panel, self._enlarge_mask(crowd.masks[i]), _VOID, self.style.mask_alpha)
            box = self._draw_box(panel, crowd.boxes[i], _VOID)
            label = int(crowd.labels[i])
            name = names[label] if label < len(names) else f'class {label}'
            tags.append((f'{name} (crowd)', _VOID, box))
        return tags

    def _semantic(self, ids: np.ndarray) -> tuple[np.ndarray, str, list[tuple[str, Color]]]:
        present, counts = np.unique(ids[ids != IGNORED], return_counts=True)
        number = int(present.max(initial=-1)) + 1
        names, colors = self.style._names(number), self.style._colors(number)
        table = np.zeros((256, 3), np.uint8) if number <= 256 else np.zeros((number, 3), np.uint8)
        table[IGNORED] = _VOID
        table[present] = [colors[i] for i in present]
        large = self._enlarge_ids(ids)
        panel = self._overlay(large, table)
        canvas.hatch(panel, large == IGNORED, _HATCH, self.font_size * 2 // 3)
        order = np.argsort(-counts, kind='stable')
        entries = [(f'{names[present[i]]} {_percent(counts[i] / ids.size)}', colors[present[i]]) for i in order]
        if (ids == IGNORED).any():
            entries.insert(0, (f'unlabelled {_percent((ids == IGNORED).mean())}', _HATCH))
        return panel, f'{len(present)} class{"es" if len(present) != 1 else ""}', entries

    def _panoptic(self, ids: np.ndarray) -> tuple[np.ndarray, str]:
        meta = self.style.dataset_meta
        void = len(self.style._names(0)) - len(meta.get('extra_classes') or ())
        segments, index = np.unique(ids, return_inverse=True)
        labels = segments % INSTANCE_OFFSET
        number = int(labels.max(initial=-1)) + 1
        names, colors = self.style._names(number), self.style._colors(number)
        seen: Counter[int] = Counter()
        table = np.zeros((len(segments), 3), np.uint8)
        for i, (segment, label) in enumerate(zip(segments, labels, strict=True)):
            table[i] = _VOID if segment == void else canvas.shade(colors[label], seen[label])
            seen[label] += 1
        large = self._enlarge_ids(index.reshape(ids.shape))
        panel = self._overlay(large, table)
        found = [i for i, segment in enumerate(segments) if segment != void]
        shares = np.bincount(large.ravel(), minlength=len(segments)) / large.size
        texts = [
            (names[labels[i]], _inner_point((large == i).astype(np.uint8)))
            for i in sorted(found, key=lambda i: -shares[i])
            if shares[i] >= 0.004
        ]
        size = self.font_size * 9 // 10 if len(texts) <= 12 else max(11, self.font_size * 7 // 10)
        panel = canvas.write_centred(panel, texts, canvas.load_font(size, bold=True))
        return panel, f'{len(found)} segment{"s" if len(found) != 1 else ""}'

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

    def _blank(self) -> np.ndarray:
        return (self.image // 4 + 170).astype(np.uint8)

    # ---- pieces -----------------------------------------------------------------------------------------------
    def _draw_box(self, panel: np.ndarray, box: np.ndarray, color: Color) -> tuple[float, ...]:
        corners = np.round(box * self.scale).astype(int)
        cv2.rectangle(panel, corners[:2].tolist(), corners[2:].tolist(), color, self.line, cv2.LINE_AA)
        return tuple(corners.tolist())

    def _enlarge_mask(self, mask: np.ndarray) -> np.ndarray:
        if self.scale == 1:
            return mask
        interpolation = cv2.INTER_AREA if self.scale < 1 else cv2.INTER_LINEAR
        return cv2.resize(mask.astype(np.float32), (self.width, self.height), interpolation=interpolation) >= 0.5

    def _enlarge_ids(self, ids: np.ndarray) -> np.ndarray:
        size = (self.width, self.height)
        return cv2.resize(ids.astype(np.int32), size, interpolation=cv2.INTER_NEAREST_EXACT)

    def _overlay(self, ids: np.ndarray, table: np.ndarray) -> np.ndarray:
        alpha = self.style.sem_alpha
        # On grey, a class looks the same whatever the colours of the image below it.
        grey = cv2.cvtColor(cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        panel = cv2.addWeighted(grey, 1 - alpha, np.ascontiguousarray(table[ids]), alpha, 0)
        panel[canvas.region_borders(ids, max(1, self.line // 2))] = (245, 245, 245)
        return panel


def _part(view: View, panel: str) -> Any:
    parts = {'objects': view.objects, 'semantic': view.semantic, 'panoptic': view.panoptic, 'caption': view.captions}
    return parts[panel]


def _check_sizes(view: View, shape: tuple[int, ...]) -> None:
    found = {'semantic map': view.semantic, 'panoptic map': view.panoptic}
    if view.objects is not None and view.objects.masks is not None and len(view.objects.masks):
        found['mask'] = view.objects.masks[0]
    for name, part in found.items():
        if part is not None and to_numpy(part).shape != tuple(shape):
            raise ValueError(
                f'{view.title.lower()}: a {name} of {part.shape[0]}x{part.shape[1]} px does not fit the image of '
                f'{shape[0]}x{shape[1]} px (height x width): give the image that the sample describes'
            )


def _percent(share: float) -> str:
    return f'{share:.0%}' if share >= 0.01 else '<1%'


def _inner_point(region: np.ndarray) -> tuple[int, int]:
    """The (x, y) of a region that lies farthest from its edge."""
    distance = cv2.distanceTransform(cv2.copyMakeBorder(region, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.DIST_L2, 3)
    _, _, _, (x, y) = cv2.minMaxLoc(distance)
    return x - 1, y - 1
