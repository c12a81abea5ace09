"""What the command lines of ``tools/train.py`` and ``tools/test.py`` share; their arguments are MMDetection's."""

import argparse
import gc
import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from .compat import check_stack, register_safe_globals
from .content import content_root, find_config

CFG_OPTIONS_HELP = (
    'override settings of the config, written KEY=VALUE, e.g. train_dataloader.batch_size=4; lists as KEY="[a,b]" or '
    'KEY=a,b, nested ones as KEY="[(a,b),(c,d)]", always quoted and without blanks'
)
NO_TTA = (
    '--tta is not supported: predictions of several views can be merged for boxes, but there is no sound way to merge '
    "masks' prototypes and sentences, and the paper's figures are of a single view"
)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that training and testing have in common."""
    parser.add_argument('--work-dir', help='folder for logs, checkpoints and results (default: work_dirs/CONFIG)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help=CFG_OPTIONS_HELP)
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='how the job was started'
    )
    # torch.distributed.launch passes the one or the other spelling, depending on torch's version.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by the launcher')


def parse_arguments(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse a command line, find its config, and tell the launcher's rank to torch."""
    args = parser.parse_args(arguments)
    try:
        args.config = find_config(content_root(), args.config)
    except FileNotFoundError as error:
        parser.error(str(error))
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def load_config(args: argparse.Namespace) -> Config:
    """Read the config of a command line and apply what the command line overrides.

    The work folder is, in this order: ``--work-dir``, the config's ``work_dir``, ``work_dirs/<stem of the config>``.
    """
    check_stack(strict=True)
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs', Path(args.config).stem))
    return cfg


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a config: MMEngine's own, or the one that ``runner_type`` names."""
    from mmengine.registry import RUNNERS

    register_safe_globals()
    _flush_denormals()
    if cfg.get('launcher') == 'pytorch':
        _prepare_cpu_processes(cfg)
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def _flush_denormals() -> None:
    """Let the CPU round numbers below 1e-38 to zero, in this thread and those that it starts.

    Gradients of saturated attention become that small, and processors multiply such numbers many times slower than
    others. GPUs are not concerned.
    """
    import torch

    torch.set_flush_denormal(True)


def _prepare_cpu_processes(cfg: Config) -> None:
    """Let several processes train on a machine without a GPU, over gloo.

    MMEngine gives every process a GPU, when it joins the group and again when it wraps the model; a group that exists
    already and a wrapper that the config names are left as they are.
    """
    import torch

    if torch.cuda.is_available() or torch.distributed.is_initialized():
        return
    torch.distributed.init_process_group('gloo')
    wrapper = dict(type='mmyolor_mtl.MTLDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    cfg.model_wrapper_cfg = {**wrapper, **(cfg.get('model_wrapper_cfg') or {})}


def leave_processes() -> None:
    """Part from the other processes, at the end of a run that went well.

    Without it, threads of gloo may outlive the interpreter, and a run that has done everything ends with an abort. They
    end with the last reference to the group, of which the runner's wrapped network has some.
    """
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        gc.collect()
        torch.distributed.destroy_process_group()
