"""A linear network that the real runner trains in a tenth of a second, to test hooks and loops with."""

import os

import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import Dataset

from mmyolor_mtl.registry import DATASETS, METRICS, MODELS

from ..test_train.forks import free_port, in_forks


@DATASETS.register_module()
class ToyData(Dataset):
    """Vectors with a number and a path."""

    metainfo = {'classes': ('toy',)}

    def __len__(self):
        return 8

    def __getitem__(self, i):
        vector = torch.randn(3, generator=torch.Generator().manual_seed(i))
        return {
            'inputs': vector,
            'data_samples': BaseDataElement(metainfo=dict(img_id=int(i), img_path=f'{int(i)}.jpg')),
        }


@MODELS.register_module()
class ToyModel(BaseModel):
    """Batch norm and two heads; the losses named in ``poison`` are NaN, or their gradients alone."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.heads = nn.ModuleDict({'det': nn.Linear(4, 1), 'sem': nn.Linear(4, 1)})
        self.poison = ''

    def forward(self, inputs, data_samples=None, mode='tensor'):
        inputs = torch.stack(inputs)
        if mode == 'predict':
            return [{'seen': True} for _ in inputs]
        if self.poison == 'inputs':
            inputs = inputs * float('nan')
        feats = self.trunk(inputs)
        losses = {f'loss_{task}': head(feats).square().mean() for task, head in self.heads.items()}
        if self.poison == 'loss':
            losses['loss_sem'] = losses['loss_sem'] * float('inf')
        if self.poison == 'gradient':
            losses['loss_sem'].register_hook(lambda grad: grad * float('nan'))
        return losses


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """Figures that are given to it, evaluation by evaluation."""

    figures = []

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return self.figures.pop(0)


def toy_config(work_dir, *, max_epochs=2, hooks=(), evaluate=False, **checkpoint):
    """Four steps an epoch."""
    loader = dict(
        dataset=dict(type='mmyolor_mtl.ToyData'),
        sampler=dict(type='mmyolor_mtl.MTLSampler'),
        batch_size=2,
        num_workers=0,
    )
    cfg = dict(
        model=dict(type='mmyolor_mtl.ToyModel'),
        work_dir=str(work_dir),
        train_dataloader=loader,
        train_cfg=dict(type='mmyolor_mtl.ResumableEpochLoop', max_epochs=max_epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9), clip_grad=dict(max_norm=1.0)),
        param_scheduler=dict(type='LinearLR', start_factor=0.5, by_epoch=False, end=5),
        default_hooks=dict(checkpoint=dict(type='mmyolor_mtl.MTLCheckpointHook', interval=1, **checkpoint)),
        custom_hooks=list(hooks),
        randomness=dict(seed=1),
        default_scope='mmengine',
        experiment_name=str(work_dir).replace('/', '_'),
    )
    if evaluate:
        evaluator = dict(type='mmyolor_mtl.ToyMetric')
        cfg |= dict(val_dataloader=loader, val_cfg=dict(type='ValLoop'), val_evaluator=evaluator)
    return Config(cfg)


def train(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def in_two_processes(target, *args):
    """Run a function in two forks that form a gloo group; return their exit codes."""
    port = free_port()
    return in_forks(_join_group, [(rank, port, target, args) for rank in range(2)])


def _join_group(rank, port, target, args):
    variables = {'RANK': rank, 'LOCAL_RANK': rank, 'WORLD_SIZE': 2, 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': port}
    os.environ.update({name: str(value) for name, value in variables.items()})
    torch.distributed.init_process_group('gloo')
    target(rank, *args)


def train_in_group(cfg):
    cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    cfg.launcher = 'pytorch'
    return train(cfg)


def log_of(work_dir):
    return ''.join(path.read_text() for path in sorted(work_dir.glob('*/*.log')))
