"""What to do when the memory does not suffice."""

from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.config import Config


@contextmanager
def out_of_memory_advice(cfg: Config) -> Iterator[None]:
    """Let an error for want of memory say which settings of a training config take less of it.

    Raises:
        MemoryError: in place of the error of torch or Python.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise MemoryError('\n  '.join([f'out of memory: {error}', 'What takes less:', *_knobs(cfg)])) from error


def _is_out_of_memory(error: Exception) -> bool:
    # torch has a class of its own for the GPU alone; on the CPU its allocator fails with a plain RuntimeError.
    words = ('out of memory', "can't allocate memory", 'not enough memory')
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)


def _knobs(cfg: Config) -> list[str]:
    """One line a setting, with its present value, those first that leave the result as it is."""
    wrapper, train_cfg = cfg.get('optim_wrapper') or {}, (cfg.get('model') or {}).get('train_cfg') or {}
    batch_size = (cfg.get('train_dataloader') or {}).get('batch_size')
    steps = wrapper.get('accumulative_counts', 1)
    lines = []
    if not train_cfg.get('views_in_turn', True):
        lines.append('model.train_cfg.views_in_turn=True: the two views one after the other (now False)')
    if 'Amp' not in wrapper.get('type', ''):
        lines.append('--amp: mixed precision (now off)')
    lines += [
        f'train_dataloader.batch_size={max((batch_size or 2) // 2, 1)} (now {batch_size} a process) with '
        f'optim_wrapper.accumulative_counts={steps * 2} (now {steps}): as many images a step, in parts',
        "activation_checkpointing=['backbone']: computes the trunk twice and keeps less of it "
        f'(now {cfg.get("activation_checkpointing")}); batch statistics move twice a step',
        f'img_scale: smaller pictures (now {cfg.get("img_scale")}); change it in a copy of the config, or in all '
        'transforms that name it',
    ]
    return [f'- {line}' for line in lines]
