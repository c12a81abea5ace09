"""An epoch loop that goes on in the middle of an epoch."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from mmyolor_mtl.registry import LOOPS
from mmyolor_mtl.utils.random_state import preserved_random_state, random_state


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """MMEngine's epoch loop, to which a checkpoint can give back its place within an epoch.

    A resumed run goes on with the batch after the checkpoint's. The batches before it are not loaded: the loader is
    handed the rest of the sampler's indices, as what is in a sample follows from its index (``MTLSampler``). An
    evaluation that was cut off is run again. Evaluations and the start of workers draw no random numbers from those of
    training, so training is the same with and without them.

    :class:`MTLCheckpointHook` saves and restores the state.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader or dict): Training data, in batches.
        **kwargs: As for MMEngine's loop: ``max_epochs``, ``val_begin``, ``val_interval``, ``dynamic_intervals``.
    """

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, **kwargs: Any) -> None:
        super().__init__(runner, dataloader, **kwargs)
        self._batches = _BatchesFrom(self.dataloader.batch_sampler)
        # A loader lets nobody change its sampler once it exists, for fear of iterators that run.
        object.__setattr__(self.dataloader, 'batch_sampler', self._batches)
        self._position = 0  # iterations of the current epoch that lie behind
        self._is_evaluated = True  # whether the evaluation after the last whole epoch is done, if one was due
        self._random_state: dict[str, Any] | None = None  # of training, during an evaluation

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs beside the number of epochs and iterations."""
        return {
            'position': self._position,
            'epoch_length': len(self.dataloader),
            'is_evaluated': self._is_evaluated,
            'sampler_seed': getattr(self._sampler, 'seed', None),
        }

    def random_state(self) -> dict[str, Any]:
        """State of the random numbers that training goes on with, in this process; see :func:`random_state`."""
        return random_state() if self._random_state is None else self._random_state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the state of a checkpoint; an epoch that has become longer or shorter since is begun anew."""
        self._is_evaluated = state['is_evaluated']
        if state['sampler_seed'] is not None:
            self._sampler.seed = state['sampler_seed']
        if state['epoch_length'] == len(self.dataloader):
            self._position = state['position']
        elif state['position']:
            self.runner.logger.warning(
                f'The checkpoint lies {state["position"]} iterations into an epoch of {state["epoch_length"]}; now an '
                f'epoch has {len(self.dataloader)}, so it is begun anew. To go on exactly, use the batch size, number '
                'of processes and data set of that run'
            )

    @property
    def _sampler(self) -> Any:
        return getattr(self._batches, 'sampler', self.dataloader.sampler)

    def run(self) -> nn.Module:
        """Train, and evaluate when it is due."""
        self.runner.call_hook('before_train')
        self._evaluate_if_due()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._evaluate_if_due()
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """Run what is left of the epoch."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        with preserved_random_state(), self._batches.from_number(self._position):
            batches = iter(self.dataloader)
        for idx, data_batch in enumerate(batches, self._position):
            self._position = idx + 1
            self.run_iter(idx, data_batch)
        self._position, self._is_evaluated = 0, False
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _evaluate_if_due(self) -> None:
        self._decide_current_val_interval()
        if self._is_evaluated:
            return
        self._is_evaluated = True  # what is saved from here on is saved after the evaluation
        is_due = self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
        if self.runner.val_loop is not None and self._epoch >= self.val_begin and is_due:
            with preserved_random_state() as self._random_state:
                self.runner.val_loop.run()
            self._random_state = None


class _BatchesFrom:
    """A batch sampler that can leave out the first batches; its length is always that of a whole epoch."""

    def __init__(self, batch_sampler: Any) -> None:
        self.batch_sampler = batch_sampler
        self._start = 0

    @contextmanager
    def from_number(self, start: int) -> Iterator[None]:
        """Iterators made within the block begin with batch ``start``; a loader with workers makes two."""
        self._start = start
        try:
            yield
        finally:
            self._start = 0

    def __iter__(self) -> Iterator[list[int]]:
        return islice(self.batch_sampler, self._start, None)

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __getattr__(self, name: str) -> Any:
        if name == 'batch_sampler':  # not there yet while a copy is made
            raise AttributeError(name)
        return getattr(self.batch_sampler, name)
