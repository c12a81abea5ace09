"""The multi-task shell: backbone -> neck -> {task: head}, and while training an auxiliary branch."""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import fuse_conv_bn
from mmdet.models.detectors.base import BaseDetector
from mmdet.structures import DetDataSample
from mmengine.model import ModuleDict
from mmengine.optim import OptimWrapper
from mmengine.structures import PixelData
from torch import Tensor, nn

from ...postprocess import REFERENCE_RULE, fuse_panoptic
from ...registry import MODELS
from ..heads.base_head import zero_loss
from .view_training import train_views

TASKS = ('det', 'ins', 'sem', 'cap')
# Results that are made of others: a mask belongs to a detection, the panoptic map merges masks and semantic map.
_MADE_OF = {'ins': ('det',), 'pan': ('ins', 'sem')}
Features = dict[str, tuple[Tensor, ...]]


@MODELS.register_module()
class YOLORMTL(BaseDetector):
    """YOLOR-based multi-task network (arXiv 2309.16921): one trunk, one light head a task.

    Any subset of heads makes a valid model. While training, the vision heads read the strong view and the caption
    head the weak view of the same images; at inference all heads share one pass of the backbone.

    Args:
        backbone: Config of the backbone; returns the levels C3, C4, C5.
        neck: Config of the neck.
        heads: Configs of the heads by task: 'det', 'ins', 'sem', 'cap', or a task of your own, which runs after these.
        auxiliary: Config of a branch that is run on the strong view while training, for the auxiliary branches of
            the heads; called with the images and the backbone's levels.
        data_preprocessor: Config of the data preprocessor.
        test_cfg: ``panoptic``: keyword arguments of :func:`fuse_panoptic`; absent or None for no panoptic result.
        train_cfg: ``views_in_turn``: run each view forward and backward before the other (True by default), which takes
            the memory of one, or both forward and then backward.
        init_cfg: Config of the initialisation.

    Raises:
        ValueError: If there is no head, a head belongs to another task or needs what no head before it provides, or
            ``test_cfg`` has another key than ``panoptic``, ``train_cfg`` another than ``views_in_turn``.

    Shapes:
        inputs (B, 3, H, W), RGB in [0, 1], H and W multiples of 32.
    """

    def __init__(
        self,
        *,
        backbone: dict,
        neck: dict,
        heads: dict,
        auxiliary: dict | None = None,
        data_preprocessor: dict | None = None,
        test_cfg: dict | None = None,
        train_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        if not heads:
            raise ValueError(f'heads is empty: give a head for a task at least, such as {TASKS[0]!r}')
        if set(test_cfg or {}) - {'panoptic'}:
            raise ValueError(
                f'test_cfg of YOLORMTL takes the key panoptic, got {sorted(test_cfg)}; thresholds belong to the '
                'test_cfg of a head, such as model.heads.det.test_cfg.score_thr'
            )
        if set(train_cfg or {}) - {'views_in_turn'}:
            raise ValueError(f'train_cfg of YOLORMTL takes the key views_in_turn, got {sorted(train_cfg)}')
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck)
        self.auxiliary = None if auxiliary is None else MODELS.build(auxiliary)
        # In the order of TASKS, in which a head comes after those whose results it needs, then tasks of others.
        # MMEngine's ModuleDict, as torch's would keep init_weights from reaching the heads.
        order = [task for task in TASKS if task in heads] + [task for task in heads if task not in TASKS]
        self.heads = ModuleDict({task: MODELS.build(heads[task]) for task in order})
        self.train_cfg = {'views_in_turn': True, **(train_cfg or {})}
        self.test_cfg = test_cfg or {}
        self._check_heads()

    def _check_heads(self) -> None:
        provided = set() if self.auxiliary is None else {'auxiliary'}
        for task, head in self.heads.items():
            if head.task != task:
                raise ValueError(f'heads[{task!r}] is a {type(head).__name__}, a head for the task {head.task!r}')
            missing = set(head.requires) - provided
            if missing:
                raise ValueError(
                    f'the head for {task!r} needs {sorted(missing)}, which neither another head nor an auxiliary '
                    'branch provides'
                )
            provided |= set(head.provides)

    @property
    def vision_heads(self) -> dict[str, Any]:
        """Heads that read the strong view."""
        return {task: head for task, head in self.heads.items() if task != 'cap'}

    def train(self, mode: bool = True) -> 'YOLORMTL':
        """As torch's; a part none of whose parameters is trained keeps its statistics and does without dropout."""
        super().train(mode)
        if mode:
            for part in (self.backbone, self.neck, self.auxiliary, *self.heads.values()):
                if part is not None and not _is_trained(part):
                    part.eval()
        return self

    def extract_feat(self, batch_inputs: Tensor, sources: tuple[str, ...] = ('backbone', 'neck')) -> Features:
        """Features by source; without 'neck' in ``sources`` the neck is not run."""
        feats = {'backbone': self.backbone(batch_inputs)}
        if 'neck' in sources:
            feats['neck'] = self.neck(feats['backbone'])
        return feats

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[DetDataSample] | None = None,
        mode: str = 'tensor',
        caption_inputs: Tensor | None = None,
        views: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        min_score: float = 0.0,
    ) -> Any:
        """As mmdet's detectors; mode 'loss' takes what :meth:`loss` takes besides, 'predict' what :meth:`predict`."""
        if mode == 'loss':
            return self.loss(inputs, data_samples, caption_inputs, views)
        if mode == 'predict':
            return self.predict(inputs, data_samples, tasks=tasks, min_score=min_score)
        return super().forward(inputs, data_samples, mode)

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """One step of the optimizer; returns the losses to log."""
        return self.run_step(self, data, optim_wrapper)

    def run_step(self, forward: nn.Module, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """:meth:`train_step` through ``forward``: this model, or the wrapper that synchronises several processes."""
        return train_views(self, forward, data, optim_wrapper)

    def trained_views(self) -> tuple[str, ...]:
        """Which views have something to learn: 'vision' where a vision head is trained, 'language' for captions.

        Vision heads that are frozen, all of them, save the pass of the strong view.
        """
        vision = any(map(_is_trained, self.vision_heads.values()))
        language = 'cap' in self.heads and (_is_trained(self.heads['cap']) or not vision)
        return ('vision',) * vision + ('language',) * language

    def parameters_beside(self, views: Sequence[str]) -> list[nn.Parameter]:
        """Trained parameters that the losses of these views may leave without a gradient."""
        parts = [] if 'vision' in views else [self.neck, self.auxiliary, *self.vision_heads.values()]
        if 'language' not in views and 'cap' in self.heads:
            parts.append(self.heads['cap'])
        return [p for part in parts if part is not None for p in part.parameters() if p.requires_grad]

    def loss(
        self,
        batch_inputs: Tensor,
        batch_data_samples: list[DetDataSample],
        caption_inputs: Tensor | None = None,
        views: Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        """Losses of all heads that are trained, each over the samples that carry its labels.

        Args:
            batch_inputs: (B, 3, H, W) strong views.
            batch_data_samples: The B samples.
            caption_inputs: (Bc, 3, h, w) weak views of the samples with ``caption_view``, in batch order.
            views: Only the losses of these, out of :meth:`trained_views`; None for all.
        """
        views = self.trained_views() if views is None else views
        losses: dict[str, Tensor] = {}
        if 'vision' in views:
            shared: dict[str, Any] = {}
            feats = self.extract_feat(batch_inputs)
            if self.auxiliary is not None:
                shared['auxiliary'] = self.auxiliary(batch_inputs, feats['backbone'])
            for head in self.vision_heads.values():
                losses.update(head.loss(feats[head.source], batch_data_samples, shared))
        if 'language' in views:
            losses.update(self._caption_loss(batch_inputs, batch_data_samples, caption_inputs))
        return losses

    def _caption_loss(
        self, batch_inputs: Tensor, data_samples: list[DetDataSample], caption_inputs: Tensor | None
    ) -> dict[str, Tensor]:
        head = self.heads['cap']
        samples = [sample for sample in data_samples if 'caption_view' in sample]
        if caption_inputs is None:
            if self.vision_heads:
                # The trunk stays in the graph, as other processes may have captions.
                trunk = [p for p in self.backbone.parameters() if p.requires_grad]
                return {name: value + zero_loss(*trunk) for name, value in head.loss((), [], {}).items()}
            # No caption in this batch. One image keeps the trunk in the graph where no vision head does.
            caption_inputs = batch_inputs[:1]
        # A head that needs nothing of the neck does not have it run.
        feats = self.extract_feat(caption_inputs, ('backbone', 'neck') if head.requires else (head.source,))
        shared: dict[str, Any] = {}
        if head.requires:
            for other in self.vision_heads.values():
                shared.update(other.context(feats[other.source]))
        return head.loss(feats[head.source], samples, shared)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that :meth:`predict` has results for: those of the heads, and 'pan' where ``test_cfg`` asks for it."""
        panoptic = self.test_cfg.get('panoptic') is not None and set(_MADE_OF['pan']) <= set(self.heads)
        return (*self.heads, 'pan') if panoptic else tuple(self.heads)

    def predict(
        self,
        batch_inputs: Tensor,
        batch_data_samples: list[DetDataSample],
        rescale: bool = True,
        tasks: Sequence[str] | None = None,
        min_score: float = 0.0,
    ) -> list[DetDataSample]:
        """Predictions in the space of the original images unless ``rescale`` is False.

        Args:
            batch_inputs: (B, 3, H, W).
            batch_data_samples: The B samples.
            rescale: Whether boxes, masks and maps are those of the original images.
            tasks: Which results are wanted, out of :attr:`tasks`; None for all. No other head is run, except for what
                these need of it, and the samples hold no other results. Masks come with their boxes.
            min_score: Detections below are not wanted, and no masks are made of them. Some may be left for the
                panoptic map, which has a threshold of its own.

        Raises:
            ValueError: A task that this model does not have, or none.
        """
        wanted = self.wanted_tasks(tasks)
        run = _with_parts(wanted)
        # What a head tells other heads is cheaper than its results.
        told = {name for task in run - {'pan'} for name in self.heads[task].requires}
        asked = [task for task, head in self.heads.items() if task not in run and told & set(head.provides)]
        heads = {task: head for task, head in self.heads.items() if task in run or task in asked}
        feats = self.extract_feat(batch_inputs, tuple({'backbone', *(head.source for head in heads.values())}))
        shared: dict[str, Any] = {}
        for task, head in heads.items():
            if task in asked:
                shared.update(head.context(feats[head.source]))
            else:
                head.predict(feats[head.source], batch_data_samples, shared, rescale)
            if task == 'det' and task in run and min_score > 0:
                _keep_likely(batch_data_samples, shared, self._lowest_score(min_score, run))
        if 'pan' in run:
            self.predict_panoptic(batch_data_samples, shared)
        for sample in batch_data_samples:
            _drop_parts(sample, wanted)
        return batch_data_samples

    def wanted_tasks(self, tasks: Sequence[str] | None) -> set[str]:
        """The given tasks, or all.

        Raises:
            ValueError: A task that this model does not have, or none.
        """
        if tasks is None:
            return set(self.tasks)
        if isinstance(tasks, str) or not tasks or not set(tasks) <= set(self.tasks):
            raise ValueError(f'tasks={tasks!r}: give some of {self.tasks}, which this model has')
        return set(tasks)

    def _lowest_score(self, min_score: float, run: set[str]) -> float:
        """What is wanted of the detections by the caller or by the panoptic map."""
        if 'pan' not in run:
            return min_score
        return min(min_score, self.test_cfg['panoptic'].get('score_thr', REFERENCE_RULE['score_thr']))

    def predict_panoptic(self, data_samples: list[DetDataSample], shared: dict[str, Any]) -> None:
        """Merge the predictions of samples and the ``instance_masks`` of ``shared`` into ``pred_panoptic_seg``."""
        for sample, masks in zip(data_samples, shared['instance_masks'], strict=True):
            found, sem_seg = sample.pred_instances, sample.pred_sem_seg.sem_seg
            scores, labels, pixels = (x.detach().cpu().numpy() for x in (found.scores, found.labels, sem_seg[0]))
            panoptic = fuse_panoptic(masks, scores, labels, pixels, **self.test_cfg['panoptic'])
            sample.pred_panoptic_seg = PixelData(sem_seg=torch.from_numpy(panoptic)[None].to(sem_seg.device))

    def _forward(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample] | None = None) -> dict[str, Any]:
        """Raw outputs by name: ``cls_logits``, ``box_dists``, ``mask_coefs``, ``mask_protos``, ``sem_logits``, ..."""
        feats = self.extract_feat(batch_inputs, tuple({'backbone', *(head.source for head in self.heads.values())}))
        outputs: dict[str, Any] = {}
        for head in self.heads.values():
            outputs.update(head(feats[head.source], outputs))
        return outputs

    def switch_to_deploy(self) -> None:
        """Make the network as small and fast as inference allows; predictions stay the same (REFERENCE_SPEC 7.4).

        Drops the auxiliary branch and what the heads train only, makes one convolution of each re-parameterised block,
        folds implicit scales and batch norms into convolutions. There is no way back: keep the checkpoint. Doing it
        twice changes nothing.
        """
        self.eval()
        self.auxiliary = None
        for module in list(self.modules()):
            if module is not self and hasattr(module, 'switch_to_deploy'):
                module.switch_to_deploy()
        fuse_conv_bn(self)


def _is_trained(part: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in part.parameters())


def _with_parts(tasks: set[str]) -> set[str]:
    """Tasks together with those that their results are made of."""
    parts = {part for task in tasks for part in _MADE_OF.get(task, ())}
    return tasks if parts <= tasks else _with_parts(tasks | parts)


def _keep_likely(data_samples: list[DetDataSample], shared: dict[str, Any], min_score: float) -> None:
    """Take detections below a score out of the samples and of what other heads see."""
    for row, (sample, found) in enumerate(zip(data_samples, shared['detections'], strict=True)):
        keep = found.scores >= min_score
        shared['detections'][row], sample.pred_instances = found[keep], sample.pred_instances[keep]


def _drop_parts(sample: DetDataSample, wanted: set[str]) -> None:
    """Take results out of a sample that were only parts of what was wanted."""
    if not wanted & {'det', 'ins'}:
        sample.pop('pred_instances', None)
    elif 'ins' not in wanted:
        sample.pred_instances.pop('masks', None)
    if 'sem' not in wanted:
        sample.pop('pred_sem_seg', None)
