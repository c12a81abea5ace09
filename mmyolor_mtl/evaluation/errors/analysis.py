"""All tasks of a network."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmdet.structures import DetDataSample

from ..metrics import PanopticMetric
from .captions import CaptionErrors
from .common import ImageScore, TaskErrors
from .detections import DetectionErrors, annotate
from .panoptic import PanopticErrors
from .semantic import SemanticErrors, semantic_maps, wrong_pixels

TASKS = ('det', 'ins', 'sem', 'pan', 'cap')


class ErrorAnalysis:
    """Collects the errors of a network, sample by sample.

    An image counts for a task if it carries labels of it and the network predicts it.

    Args:
        dataset_meta (Mapping): ``classes``, ``stuff_classes`` and ``extra_classes``, and what ``PanopticMetric`` needs.
        score_thr (float): Detections with lower scores count in the distribution of the scores only.
        tasks (Sequence[str]): Tasks to judge, of 'det', 'ins', 'sem', 'pan' and 'cap'.
        panoptic_metric (PanopticMetric, optional): Where the true panoptic maps come from. Defaults to None: from masks
            and semantic maps.

    Raises:
        ValueError: A task is unknown, or ``score_thr`` is not in [0, 1].
    """

    def __init__(
        self,
        dataset_meta: Mapping[str, Any],
        score_thr: float = 0.3,
        tasks: Sequence[str] = TASKS,
        panoptic_metric: PanopticMetric | None = None,
    ) -> None:
        if not tasks or set(tasks) - set(TASKS):
            raise ValueError(f'tasks={tuple(tasks)}: give some of {TASKS}')
        if not 0 <= score_thr <= 1:
            raise ValueError(f'score_thr={score_thr} must be in [0, 1]')
        self.score_thr = score_thr
        self.things = list(dataset_meta['classes'])
        evaluated = [*self.things, *dataset_meta.get('stuff_classes', ())]
        self._num_evaluated = len(evaluated)
        builders: dict[str, Callable[[], TaskErrors]] = {
            'det': lambda: DetectionErrors('det', self.things, score_thr),
            'ins': lambda: DetectionErrors('ins', self.things, score_thr),
            'sem': lambda: SemanticErrors(evaluated, dataset_meta.get('extra_classes', ())),
            'pan': lambda: PanopticErrors(dataset_meta, panoptic_metric or PanopticMetric()),
            'cap': CaptionErrors,
        }
        self._tasks = {task: builders[task]() for task in TASKS if task in tasks}

    def add(self, index: int, sample: DetDataSample) -> None:
        """Judge a sample.

        Args:
            index (int): Its number in the data set.
            sample (DetDataSample): Annotations and predictions in the space of the original image.

        Raises:
            ValueError: Prediction and annotation differ in size, or a class is out of range.
        """
        for errors in self._tasks.values():
            errors.add(index, sample)

    @property
    def judged_tasks(self) -> list[str]:
        """Tasks for which at least one image was judged."""
        return [task for task, errors in self._tasks.items() if len(errors)]

    def summary(self) -> dict[str, dict[str, Any]]:
        """What went wrong, by task, ready for JSON; tasks without a judged image are left out."""
        return {task: self._tasks[task].summary() for task in self.judged_tasks}

    def worst(self, task: str, number: int) -> list[ImageScore]:
        """The images with the lowest scores in a task, worst first; fewer where there are no more with an error."""
        return self._tasks[task].worst(number)

    def annotate(self, task: str, sample: DetDataSample) -> None:
        """Write the errors of a task into a sample, for the visualizer: ``notes`` of instances, ``wrong`` pixels."""
        errors = self._tasks[task]
        if isinstance(errors, DetectionErrors):
            judged = errors.judge(sample)
            if judged is not None:
                annotate(sample, judged, self.score_thr, self.things)
        maps = semantic_maps(sample) if task == 'sem' else None
        if maps is not None:
            sample.pred_sem_seg.wrong = wrong_pixels(*maps, self._num_evaluated)[None]
