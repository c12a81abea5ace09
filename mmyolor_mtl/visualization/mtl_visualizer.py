"""One picture for all tasks: objects, semantic map, panoptic map and caption, ground truth beside prediction."""

from collections.abc import Sequence
from typing import Any

import mmcv
import numpy as np
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.dist import master_only

from mmyolor_mtl.registry import VISUALIZERS

from .sheet import Sheet, panel_size, part_of
from .style import Style
from .views import View, ground_truth_view, prediction_view

PANELS = ('objects', 'semantic', 'panoptic', 'caption')


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
        if image.dtype != np.uint8:
            image = image.clip(0, 255).astype(np.uint8)
        image, style = np.ascontiguousarray(image), self._style()
        views: list[View] = []
        if data_sample is not None:
            if draw_gt:
                shown = panel_size(*image.shape[:2]) if 'panoptic' in self.panels else None
                views.append(ground_truth_view(data_sample, style.num_things, style.num_evaluated, shown))
            if draw_pred:
                views.append(prediction_view(data_sample, pred_score_thr))
        views = [view for view in views if not view.is_empty]
        for view in views:
            _check_sizes(view, image.shape[:2])
        parts = [panel for panel in self.panels if any(part_of(view, panel) is not None for view in views)]
        if not parts:
            return image
        sheet = Sheet(style, image, pred_score_thr)
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
        return Sheet(self._style(), np.ascontiguousarray(image), 0.0).panel(view, part, title)

    def _style(self) -> Style:
        return Style(self.dataset_meta, self.mask_alpha, self.sem_alpha)


def _check_sizes(view: View, shape: tuple[int, ...]) -> None:
    found = {'semantic map': None if view.semantic is None else view.semantic.shape}
    if view.title == 'Prediction':  # that of the ground truth is put together at the size it is shown at
        found['panoptic map'] = None if view.panoptic is None else view.panoptic.shape
    if view.objects is not None and view.objects.masks is not None:
        found['mask'] = view.objects.masks.shape
    for name, size in found.items():
        if size is not None and tuple(size) != tuple(shape):
            raise ValueError(
                f'{view.title.lower()}: a {name} of {size[0]}x{size[1]} px does not fit the image of '
                f'{shape[0]}x{shape[1]} px (height x width): give the image that the sample describes'
            )
