"""Checkpoints that a run can be killed at, and go on from, without a difference."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import all_gather_object, broadcast_object_list, get_rank, get_world_size, is_main_process
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from torch import nn

from mmyolor_mtl.engine.wrapping import bare_model
from mmyolor_mtl.registry import HOOKS
from mmyolor_mtl.utils.files import draft_of, remove_drafts
from mmyolor_mtl.utils.random_state import random_state, set_random_state

from ..runner.checkpoint_files import find_last_whole, is_whole
from ..runner.epoch_loop import ResumableEpochLoop

WEIGHTED_SUM = 'weighted_sum'


@HOOKS.register_module()
class MTLCheckpointHook(CheckpointHook):
    """MMEngine's hook, whose checkpoints survive a kill at any moment and hold all that a run needs to go on exactly.

    - A file appears under its name when it is complete and on the disk. The old ones go, and ``last_checkpoint`` names
      the new one, only after that; so there is always one to go on from.
    - Beside the weights, optimizer, schedule and average, it holds for each process the states of the random number
      generators and gradients that wait for the rest of an accumulation, and the place of a
      :class:`ResumableEpochLoop` within the epoch.
    - After an evaluation the checkpoint before it is saved again: it then says that the evaluation is done, and
      holds the best scores.
    - When a run resumes from its last checkpoint and that is damaged, the one before is taken, with a warning.
    - If a checkpoint cannot be written (disk full), training goes on with a warning; the next is tried in its turn.

    Args:
        save_best (str or list[str], optional): As MMEngine's: 'auto' for the first metric, or metrics by key. With
            ``best_weights``, 'weighted_sum' is one of them.
        best_weights (Mapping[str, float], optional): Weights of the metrics in the sum, such as
            ``{'coco/bbox_mAP': 1, 'sem/mIoU': 1, 'cap/CIDEr': 0.5}``.
        **kwargs: As MMEngine's; ``by_epoch=False, interval=1000`` saves within epochs too.

    Raises:
        ValueError: Only one of 'weighted_sum' and ``best_weights`` is given; or, when a run resumes, no checkpoint is
            whole.
        KeyError: An evaluation does not give a metric of ``best_weights`` or ``save_best``.
    """

    _default_greater_keys = [*CheckpointHook._default_greater_keys, 'PQ', 'Bleu', 'CIDEr', 'ROUGE', WEIGHTED_SUM]

    def __init__(
        self,
        *,
        save_best: str | list[str] | None = None,
        best_weights: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        wanted = [save_best] if isinstance(save_best, str) else save_best or []
        if (WEIGHTED_SUM in wanted) != bool(best_weights):
            raise ValueError(
                f'save_best={save_best!r} and best_weights={best_weights!r}: best_weights belong to the entry '
                f'{WEIGHTED_SUM!r} of save_best, each needs the other'
            )
        super().__init__(save_best=save_best, **kwargs)
        self.best_weights = dict(best_weights or {})
        self._processes: list[dict[str, Any]] | None = None

    # ---- going on ---------------------------------------------------------------------------------------------
    def before_run(self, runner: Runner) -> None:
        """Choose the checkpoint to go on from and remove what a killed run left half-written."""
        if not runner._resume:
            return
        if runner._load_from is None:
            runner._load_from = self._last_whole(runner)
        elif Path(runner._load_from).is_file() and not is_whole(Path(runner._load_from)):
            raise ValueError(
                f'{runner._load_from} is no complete checkpoint; resume from another one, or without naming one from '
                'the last that is whole'
            )

    def _last_whole(self, runner: Runner) -> str | None:
        folder = Path(runner.work_dir)
        if self.out_dir is not None:
            if not isinstance(get_file_backend(self.out_dir, backend_args=self.backend_args), LocalBackend):
                return None  # MMEngine looks for it
            folder = Path(self.out_dir, folder.name)
        found: list[Any] = [None, []]
        if is_main_process():
            for draft in remove_drafts(folder, '*.pth'):
                runner.logger.info(f'removed {draft}, which a killed run left half-written')
            found = list(find_last_whole(Path(runner.work_dir), folder, self.filename_tmpl.split('{')[0]))
        broadcast_object_list(found)
        path, broken = found
        if path is None and broken:
            raise ValueError(
                f'no checkpoint to resume from is whole: {", ".join(map(str, broken))}. Start without resuming, in '
                'another work folder or after removing them'
            )
        for name in broken:
            runner.logger.warning(f'{name} is missing, truncated or damaged; the run goes on from {path}, saved before')
        return None if path is None else str(path)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the loop where it was; random numbers and gradients follow when training begins."""
        if not runner._resume:
            return
        if 'train_loop' in checkpoint and isinstance(runner.train_loop, ResumableEpochLoop):
            runner.train_loop.load_state_dict(checkpoint['train_loop'])
        self._processes = checkpoint.get('processes')

    def before_train(self, runner: Runner) -> None:
        """Go on with the random numbers and gradients of the checkpoint."""
        super().before_train(runner)
        last = runner.message_hub.get_info('last_ckpt')
        if last is not None:  # resumed: an evaluation made up for is noted there
            self.last_ckpt = self.file_backend.join_path(self.out_dir, Path(last).name)
        processes, self._processes = self._processes, None
        if processes is None:
            return
        if len(processes) != get_world_size():
            runner.logger.warning(
                f'The checkpoint is of {len(processes)} processes, now there are {get_world_size()}: random numbers '
                'start anew, and gradients that were not applied yet are lost'
            )
            return
        state = processes[get_rank()]
        _restore_process(bare_model(runner), state)
        if state['gradients']:  # MMEngine has just warned of their loss
            runner.logger.info('The gradients of the accumulation that was under way are back: nothing is lost')

    # ---- saving -----------------------------------------------------------------------------------------------
    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add what the loop and the processes need to go on; the best checkpoints are not meant for that."""
        if self._processes is None:
            return
        checkpoint['processes'] = self._processes
        if isinstance(runner.train_loop, ResumableEpochLoop):
            checkpoint['train_loop'] = runner.train_loop.state_dict()

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        """Save, point to the new file, remove the oldest: in this order."""
        hub, name = runner.message_hub, self.filename_tmpl.format(step)
        kept = [*(number for number in getattr(self, 'keep_ckpt_ids', ()) if number != step), step]
        old = kept[: -self.max_keep_ckpts] if self.max_keep_ckpts > 0 else []
        last = self.file_backend.join_path(self.out_dir, name)
        before = {key: hub.get_info(key) for key in ('last_ckpt', 'keep_ckpt_ids')}
        hub.update_info_dict({'last_ckpt': last, 'keep_ckpt_ids': kept[len(old) :]})
        self._processes = all_gather_object(_state_of_process(runner))
        settings = dict(save_optimizer=self.save_optimizer, save_param_scheduler=self.save_param_scheduler)
        is_saved = self._save(runner, name, meta=meta, by_epoch=self.by_epoch, **settings)
        self._processes = None
        pointer = Path(runner.work_dir, 'last_checkpoint')
        if not is_saved or not self._write(runner, pointer, lambda draft: draft.write_text(last, encoding='utf-8')):
            hub.update_info_dict({key: value for key, value in before.items() if value is not None})
            return
        self.last_ckpt = last
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids.clear()
            self.keep_ckpt_ids.extend(kept[len(old) :])
        for number in old:
            self._remove(self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(number)))

    def _save(self, runner: Runner, name: str, **kwargs: Any) -> bool:
        """Write a checkpoint; False if that failed."""
        kwargs = {'backend_args': self.backend_args, **kwargs, **self.args}
        if isinstance(self.file_backend, LocalBackend):
            path = Path(self.out_dir, name)
            return self._write(runner, path, lambda draft: runner.save_checkpoint(self.out_dir, draft.name, **kwargs))
        runner.save_checkpoint(self.out_dir, name, **kwargs)
        return True

    def _write(self, runner: Runner, path: Path, write: Callable[[Path], Any]) -> bool:
        """Write a file as a whole, in the main process; all processes learn whether it succeeded."""
        succeeded = [True]
        if is_main_process():
            try:
                with draft_of(path) as draft:
                    write(draft)
            except OSError as error:
                succeeded = [False]
                runner.logger.warning(
                    f'{path} could not be saved: {error}. Training goes on, the checkpoints before are kept, and the '
                    'next is tried in its turn; make room on that disk'
                )
        broadcast_object_list(succeeded)
        return succeeded[0]

    def _remove(self, path: str) -> None:
        if is_main_process() and self.file_backend.isfile(path):
            self.file_backend.remove(path)

    # ---- the best ---------------------------------------------------------------------------------------------
    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Save the best by each of ``save_best``, and the last one again."""
        super().after_val_epoch(runner, self._with_weighted_sum(metrics) if metrics else metrics)

    def _with_weighted_sum(self, metrics: Mapping[str, float]) -> dict[str, float]:
        if not self.best_weights:
            return dict(metrics)
        _require('best_weights', self.best_weights, metrics)
        total = sum(weight * metrics[key] for key, weight in self.best_weights.items())
        return {**metrics, WEIGHTED_SUM: float(total)}

    def _save_best_checkpoint(self, runner: Runner, metrics: Mapping[str, float]) -> None:
        """As MMEngine's, but an old one goes only when the new one is there."""
        step = runner.epoch if self.by_epoch else runner.iter
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        is_better = self.save_best and self._save_each_best(runner, metrics, step, meta)
        if self.last_ckpt is None:
            return
        name = self.filename_tmpl.format(step)
        if is_better or self.last_ckpt == self.file_backend.join_path(self.out_dir, name):
            self._save_checkpoint_with_step(runner, step, meta)

    def _save_each_best(self, runner: Runner, metrics: Mapping[str, float], step: int, meta: dict) -> bool:
        if 'auto' in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
        _require('save_best', self.key_indicators, metrics)
        hub, is_better = runner.message_hub, False
        for key, rule in zip(self.key_indicators, self.rules, strict=True):
            suffix = f'_{key}' if len(self.key_indicators) > 1 else ''
            best, previous = hub.get_info(f'best_score{suffix}'), hub.get_info(f'best_ckpt{suffix}')
            score = metrics[key]
            best = self.init_value_map[rule] if best is None else best
            if score is None or not self.is_better_than[key](score, best):
                continue
            name = f'best_{key}_{self.filename_tmpl.format(step)}'.replace('/', '_')
            # As when MMEngine saves a best checkpoint: ready to use, nothing to go on from.
            if not self._save(runner, name, meta=dict(meta), save_optimizer=False, save_param_scheduler=False):
                continue
            path, is_better = self.file_backend.join_path(self.out_dir, name), True
            hub.update_info_dict({f'best_score{suffix}': score, f'best_ckpt{suffix}': path})
            if suffix:
                self.best_ckpt_path_dict[key] = path
            else:
                self.best_ckpt_path = path
            if previous and previous != path:
                self._remove(previous)
            runner.logger.info(f'The best {key} so far, {score:.4f}, is saved to {name}.')
        return is_better


def _require(argument: str, keys: Sequence[str] | Mapping[str, float], metrics: Mapping[str, float]) -> None:
    missing = [key for key in keys if key not in metrics]
    if missing:
        raise KeyError(f'{argument} names {missing}, which the evaluation does not give; it gives {list(metrics)}')


def _state_of_process(runner: Runner) -> dict[str, Any]:
    """Random numbers, and gradients in the middle of an accumulation (after a step there are none)."""
    loop = runner.train_loop
    parameters = bare_model(runner).named_parameters()
    return {
        'random': loop.random_state() if isinstance(loop, ResumableEpochLoop) else random_state(),
        'gradients': {name: p.grad.cpu() for name, p in parameters if p.grad is not None},
    }


def _restore_process(model: nn.Module, state: dict[str, Any]) -> None:
    parameters = dict(model.named_parameters())
    for name, gradient in state['gradients'].items():
        parameters[name].grad = gradient.to(parameters[name].device)
    set_random_state(state['random'])
