"""One iteration of everything that a long job will do."""

import copy
import os
import tempfile

from mmengine.config import Config

from mmyolor_mtl.utils.cli import build_runner
from mmyolor_mtl.utils.random_state import preserved_random_state


def dry_run(cfg: Config) -> None:
    """Train one iteration, save, evaluate one batch with its metrics; then forget all of it.

    Runs in a temporary folder: the work folder is neither read nor written, back ends of the visualizer are left out,
    and the random numbers of the process afterwards are those before. What fails here would have failed in the job.

    Args:
        cfg: Config of the job; it is not changed.
    """
    with preserved_random_state(), tempfile.TemporaryDirectory(prefix='dry_run_') as folder:
        runner = build_runner(_shortened(cfg, folder))
        runner.train()
        runner.logger.info('Dry run passed: one iteration of training and of evaluation, a checkpoint, all metrics.')


def _shortened(cfg: Config, folder: str) -> Config:
    """The config of the same job with one batch in each loader, in another folder."""
    cfg = copy.deepcopy(cfg)
    cfg.work_dir = folder
    cfg.experiment_name = f'dry_run_{os.path.basename(folder)}'
    cfg.resume = False
    if cfg.get('visualizer'):  # MMEngine keeps visualizers by name; the job's own comes later
        cfg.visualizer.update(name=cfg.experiment_name, vis_backends=None)
    length = 'max_iters' if 'max_iters' in cfg.train_cfg else 'max_epochs'
    cfg.train_cfg.update({length: 1, 'val_begin': 1, 'val_interval': 1})
    cfg.train_cfg.pop('dynamic_intervals', None)
    cfg.train_dataloader.get('sampler', {}).pop('epoch_length', None)
    for loader in (cfg.train_dataloader, cfg.get('val_dataloader')):
        if loader is not None:
            loader.num_batch_per_epoch = 1
    if cfg.get('default_hooks', {}).get('checkpoint'):
        cfg.default_hooks.checkpoint.update(interval=1, save_begin=0, out_dir=None)
    evaluators = cfg.get('val_evaluator') or []
    for metric in evaluators if isinstance(evaluators, list) else [evaluators]:
        metric.pop('outfile_prefix', None)
    return cfg
