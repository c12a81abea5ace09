"""A live progress line on a terminal."""

import atexit
import logging
import sys
import time
from collections import deque
from collections.abc import Sequence, Sized
from typing import Any

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mmyolor_mtl.registry import HOOKS


@HOOKS.register_module()
class MTLProgressHook(Hook):
    """Shows a progress bar with losses, speed and time left below the log, on a terminal only.

    In training: epoch, iteration, images a second, share of the time that passes waiting for data, peak of the GPU's
    memory, time left for the whole run (evaluations so far included in the rate), and the losses, averaged over
    ``window`` iterations. In evaluation: progress and time left. Log lines pass above the bar unharmed. Where the
    output is no terminal (a file, a pipe, a notebook) nothing is shown, and the plain lines of ``LoggerHook`` remain,
    with ``images_per_s`` beside the time, data_time and memory that MMEngine gives them.

    Args:
        interval (float): Seconds between two redraws.
        window (int): Iterations that losses and speed are averaged over.
    """

    priority = 'LOW'

    def __init__(self, interval: float = 0.25, window: int = 20) -> None:
        self.interval = interval
        self.window = window
        self._live: Live | None = None
        self._moved_handlers: list[tuple[logging.StreamHandler, Any]] = []
        self._drawn = self._train_began = self._eval_began = 0.0
        self._train_first = 0
        self._speed: deque[tuple[float, int]] = deque(maxlen=window + 1)

    # ---- training ---------------------------------------------------------------------------------------------
    def before_train(self, runner: Runner) -> None:
        """Open the bar."""
        self._start(runner)
        self._train_began, self._train_first = time.time(), runner.iter

    def before_train_epoch(self, runner: Runner) -> None:
        """Forget the speed from before an evaluation."""
        self._speed.clear()
        self._speed.append((time.time(), 0))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Move the bar, and log the speed."""
        now = time.time()
        self._speed.append((now, _batch_size(data_batch) * get_world_size()))
        images = sum(number for _, number in list(self._speed)[1:])
        speed = images / max(now - self._speed[0][0], 1e-6)
        runner.message_hub.update_scalar('train/images_per_s', speed)
        if self._live is None or now - self._drawn < self.interval:
            return
        done, total = runner.iter + 1, runner.max_iters
        left = (now - self._train_began) / (done - self._train_first) * (total - done)
        length = len(runner.train_dataloader)
        title = f'Epoch {runner.epoch + 1}/{runner.max_epochs}  {batch_idx + 1}/{length}'
        facts = [f'{speed:.1f} images/s', *self._data_share(runner), *_gpu_memory(), f'{format_seconds(left)} left']
        self._draw(title, done, total, '  '.join(facts), self._losses(runner))

    def _data_share(self, runner: Runner) -> list[str]:
        scalars = runner.message_hub.log_scalars  # IterTimerHook measures them
        if not {'train/time', 'train/data_time'} <= set(scalars):
            return []
        share = scalars['train/data_time'].mean(self.window) / max(scalars['train/time'].mean(self.window), 1e-9)
        return [f'data {share:.0%}']

    def _losses(self, runner: Runner) -> str:
        scalars = runner.message_hub.log_scalars
        names = [key for key in scalars if key.startswith('train/loss')]
        return '  '.join(
            f'{name.removeprefix("train/").removeprefix("loss_")} {scalars[name].mean(self.window):.3f}'
            for name in names
        )

    # ---- evaluation -------------------------------------------------------------------------------------------
    def before_val_epoch(self, runner: Runner) -> None:
        """Open the bar where it is not open yet."""
        self._start(runner)
        self._eval_began = time.time()

    def before_test_epoch(self, runner: Runner) -> None:
        """Open the bar."""
        self.before_val_epoch(runner)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence | None = None
    ) -> None:
        """Move the bar."""
        self._evaluated('Validation', batch_idx, len(runner.val_dataloader))

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence | None = None
    ) -> None:
        """Move the bar."""
        self._evaluated('Test', batch_idx, len(runner.test_dataloader))

    def _evaluated(self, what: str, batch_idx: int, total: int) -> None:
        now, done = time.time(), batch_idx + 1
        if self._live is None or (now - self._drawn < self.interval and done < total):
            return
        left = (now - self._eval_began) / done * (total - done)
        note = f'{format_seconds(left)} left' if done < total else 'computing figures'
        self._draw(what, done, total, note)

    def after_run(self, runner: Runner) -> None:
        """Close the bar."""
        self._stop()

    # ---- the bar ----------------------------------------------------------------------------------------------
    def _start(self, runner: Runner) -> None:
        if self._live is not None or not is_main_process() or not sys.stdout.isatty():
            return
        console = Console(file=sys.stdout)
        if console.is_dumb_terminal:
            return
        before = sys.stdout
        # No refresh thread: data workers are forked while the bar is open, and a lock held by a thread at that moment
        # would stay locked in them for good.
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()
        # The bar is left open by an exception in training; the terminal must get its cursor back.
        atexit.register(self._stop)
        for handler in runner.logger.handlers:
            # The log keeps a reference to the real stdout; it has to write above the bar as everyone else does.
            if isinstance(handler, logging.StreamHandler) and handler.stream is before:
                self._moved_handlers.append((handler, before))
                handler.stream = sys.stdout

    def _stop(self) -> None:
        atexit.unregister(self._stop)
        if self._live is None:
            return
        for handler, stream in self._moved_handlers:
            handler.flush()
            handler.stream = stream
        self._moved_handlers.clear()
        self._live.stop()
        self._live = None

    def _draw(self, title: str, done: int, total: int, note: str, below: str = '') -> None:
        if self._live is None:
            return
        self._drawn = time.time()
        line = Table.grid(padding=(0, 1), expand=True)
        line.add_column(no_wrap=True)
        line.add_column(ratio=1)
        line.add_column(no_wrap=True, justify='right')
        line.add_row(Text(title, 'bold'), ProgressBar(total=total, completed=done), Text(note, 'cyan'))
        parts = [line, Text(below, 'dim', no_wrap=True, overflow='ellipsis')] if below else [line]
        self._live.update(Group(*parts), refresh=True)


def format_seconds(seconds: float) -> str:
    """Seconds as h:mm:ss, or m:ss below an hour.

    Examples:
        >>> format_seconds(59.6), format_seconds(3725)
        ('1:00', '1:02:05')
    """
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{rest:02d}' if hours else f'{minutes}:{rest:02d}'


def _gpu_memory() -> list[str]:
    if not torch.cuda.is_available():
        return []
    return [f'{torch.cuda.max_memory_allocated() / 2**30:.1f} GB']


def _batch_size(data_batch: Any) -> int:
    inputs = data_batch.get('inputs') if isinstance(data_batch, dict) else data_batch
    return len(inputs) if isinstance(inputs, Sized) else 1
