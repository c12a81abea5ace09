"""Networks of configs/reference with values that anyone can regenerate, pictures and labels to run them on."""

import json
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmyolor_mtl.models.reference import from_reference, to_reference
from mmyolor_mtl.models.reference.convert import key_map
from mmyolor_mtl.registry import MODELS

ROOT = Path(__file__).resolve().parents[3]
PARITY = ROOT.parent / 'shared' / 'parity'
GAIN = 6.5
NAMES = ('yolov7-af', 'yolov7-af-seg', 'yolov7-af-pan', 'gelan-c', 'gelan-c-seg', 'gelan-c-pan', 'gyolo')


def config(name: str) -> Config:
    """A config of the reference's networks, without the vocabulary it would read."""
    cfg = Config.fromfile(ROOT / f'configs/reference/{name}.py')
    if 'cap' in cfg.model.heads:
        cfg.model.heads.cap.pop('tokenizer', None)
    return cfg


def build(name: str) -> torch.nn.Module:
    """The network in evaluation mode."""
    return MODELS.build(config(name).model).eval()


def uniform(seed: int, key: str, shape) -> np.ndarray:
    """Uniform values in [-1, 1) that depend on the key alone."""
    return np.random.default_rng([seed, crc32(key.encode())]).random(shape, dtype=np.float32) * 2 - 1


def images(seed: int, height: int, width: int, batch: int = 2) -> torch.Tensor:
    """Waves and noise: (batch, 3, height, width), RGB in [0, 1]."""
    rng = np.random.default_rng(seed)
    yy, xx = np.meshgrid(
        np.linspace(0, 1, height, dtype=np.float32), np.linspace(0, 1, width, dtype=np.float32), indexing='ij'
    )
    f, p = rng.uniform(1, 9, (batch, 3, 2)).astype(np.float32), rng.uniform(0, 6.28, (batch, 3)).astype(np.float32)
    low = 0.5 + 0.5 * np.sin(f[..., 0, None, None] * xx + f[..., 1, None, None] * yy + p[..., None, None])
    noise = rng.random((batch, 3, height, width), dtype=np.float32)
    return torch.from_numpy((0.75 * low + 0.25 * noise).astype(np.float32))


def fill(model: torch.nn.Module, seed: int = 7) -> None:
    """Give every tensor a regenerable value, of a scale that neither fades nor explodes on its way through."""
    state = to_reference(model)
    for key, value in state.items():
        if not value.is_floating_point() or ('.running_' in key and '.bn.' not in key) or '.dfl' in key:
            continue
        u = uniform(seed, key, tuple(value.shape))
        if key.endswith('running_var'):
            u = 1 + 0.2 * u
        elif value.dim() > 1:
            u = u * np.float32(np.sqrt(GAIN / np.prod(value.shape[1:])))
        else:
            u = 0.1 * u + (1 if key.endswith(('bn.weight', 'norm.weight')) else 0)
        state[key] = torch.from_numpy(np.ascontiguousarray(u, dtype=np.float32))
    model.load_state_dict(from_reference(state, model))


class Parity:
    """One of the fixtures in shared/parity: weights, inputs, labels and what the reference computes of them."""

    def __init__(self, name: str) -> None:
        self.arrays = np.load(PARITY / f'{name}.npz')
        self.meta = json.loads(bytes(self.arrays['meta']))

    def tensor(self, key: str) -> torch.Tensor:
        """An array of the file."""
        return torch.from_numpy(self.arrays[key])

    def state(self) -> dict[str, torch.Tensor]:
        """Weights by the reference's keys."""
        generated, given = set(self.meta['generated']), set(self.arrays.files)
        state = {}
        for key, shape in self.meta['shapes'].items():
            if key in generated:
                scale = np.float32(np.sqrt(3 / np.prod(shape[1:])))
                state[key] = torch.from_numpy(uniform(self.meta['seed'], key, tuple(shape)) * scale)
            elif f'given/{key}' in given:
                state[key] = self.tensor(f'given/{key}')
        for name in given:
            if name.startswith('override/'):
                key, _, row = name.removeprefix('override/').rpartition('/')
                state[key][int(row)] = self.tensor(name)
        return state

    def images(self) -> torch.Tensor:
        """The two pictures."""
        return images(self.meta['seed'], self.meta['height'], self.meta['width'])

    def samples(self) -> list[DetDataSample]:
        """Labels of the losses."""
        targets, masks = self.tensor('loss/targets').float(), self.tensor('loss/masks')
        shape = tuple(int(n) for n in self.arrays['loss/semantic_shape'])
        multi_hot = np.unpackbits(self.arrays['loss/semantic'])[: np.prod(shape)].reshape(shape)
        samples = []
        for image in range(2):
            rows = targets[:, 0] == image
            samples.append(sample(targets[rows], masks[rows], multi_hot[image], self.size))
        return samples

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        return self.meta['height'], self.meta['width']


def sample(targets: torch.Tensor, masks: torch.Tensor, multi_hot: np.ndarray, size: tuple[int, int]) -> DetDataSample:
    """A labelled sample; targets are (image, class, cx, cy, w, h), normalised."""
    height, width = size
    centre, extent = (targets[:, cols] * torch.tensor([width, height]) for cols in ([2, 3], [4, 5]))
    made = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size))
    made.gt_instances = InstanceData(
        bboxes=torch.cat([centre - extent / 2, centre + extent / 2], 1), labels=targets[:, 1].long()
    )
    made.set_field(masks.to(torch.uint8), 'gt_mask_targets')
    made.set_field(layers_of(multi_hot), 'gt_sem_target')
    return made


def layers_of(multi_hot: np.ndarray) -> torch.Tensor:
    """A multi-hot map (S, h, w) as index maps (L, h, w), 255 where a layer has no class."""
    layers = np.full((max(int(multi_hot.sum(0).max()), 1), *multi_hot.shape[1:]), 255, dtype=np.int64)
    classes, rows, columns = multi_hot.nonzero()
    order = (multi_hot.cumsum(0) - 1)[classes, rows, columns]
    layers[order, rows, columns] = classes
    return torch.from_numpy(layers)


def group_norms(model: torch.nn.Module) -> dict[str, float]:
    """Norm of the gradient of each of the reference's layers, largest differences show where two networks part."""
    keys, squares = key_map(model), {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            layer = '.'.join(keys[name].split('.')[:2])
            squares[layer] = squares.get(layer, 0.0) + float(parameter.grad.double().pow(2).sum())
    return {layer: value**0.5 for layer, value in squares.items()}
