"""A hook that writes down what each process trains on and what it learns; processes of a test import it by name."""

import copy
import json
import zlib
from pathlib import Path

import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmyolor_mtl.registry import DATASETS, HOOKS


@HOOKS.register_module()
class VisitRecorder(Hook):
    """A file of each process: its samples, step by step, and its losses and weights before and after.

    A sample is its image id and a checksum of all its pixels and labels. The losses are those of all training pictures
    as they are, in one batch.

    Args:
        pipeline (list[dict]): Prepares the pictures for these losses, without anything random.
    """

    def __init__(self, pipeline):
        self.pipeline = pipeline

    def before_train(self, runner):
        self.report = {'before': self.losses(runner), 'steps': []}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        pairs = zip(data_batch['inputs'], data_batch['data_samples'], strict=True)
        self.report['steps'].append([(sample.img_id, digest(pixels, sample)) for pixels, sample in pairs])

    def after_train(self, runner):
        weights = (p.detach().numpy().tobytes() for p in runner.model.parameters())
        self.report.update(after=self.losses(runner), weights=zlib.crc32(b''.join(weights)))
        Path(runner.work_dir, f'report_{get_rank()}.json').write_text(json.dumps(self.report))

    def losses(self, runner):
        dataset = DATASETS.build({**runner.cfg.train_dataloader.dataset, 'pipeline': self.pipeline})
        model = copy.deepcopy(runner.model.module if is_model_wrapper(runner.model) else runner.model).train()
        batch = model.data_preprocessor(pseudo_collate([dataset[i] for i in range(len(dataset))]), training=True)
        with torch.no_grad():
            losses = model(**batch, mode='loss')
        return {name: float(value) for name, value in losses.items()}


def digest(pixels, sample):
    """Checksum of both views, the boxes, the semantic map and the captions drawn."""
    tensors = [pixels, sample.gt_instances.bboxes, sample.gt_instances.labels]
    tensors += [sample.get(key) for key in ('caption_view', 'gt_caption_ids', 'gt_sem_target') if key in sample]
    return zlib.crc32(b''.join(tensor.numpy().tobytes() for tensor in tensors))
