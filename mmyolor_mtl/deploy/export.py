"""Write a trained network as ONNX graphs that run without torch, and check that they compute the same."""

import importlib.util
import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmyolor_mtl.apis import MTLInferencer
from mmyolor_mtl.models.detectors import YOLORMTL
from mmyolor_mtl.models.heads import RegionCaptionHead

from .describe import describe
from .description import CAPTION_FILE, FILE_NAME, VISION_FILE
from .graphs import CaptionStep, VisionGraph, memory_axes, memory_names, vision_outputs
from .images import input_size
from .runtimes import load_graph

_DIMENSIONS = (('batch', 1), ('rows', 2), ('columns', 2))
_TALKATIVE = ('torch.onnx._internal.exporter._registration', 'torch.__trace')
# Largest difference of the check, relative to the largest value of an output (at least 1).
TOLERANCE = 1e-3
# What the graphs are traced with: every size that may change is above 1 and differs from the others.
_BATCH, _HEIGHT, _WIDTH, _BEAMS, _PAST = 2, 96, 128, 3, 5


class ExportError(RuntimeError):
    """The exported graphs do not compute what the network does."""


def export_onnx(inferencer: MTLInferencer, out_dir: str | Path) -> Path:
    """Export a network with the heads that it has.

    The folder then holds ``vision.onnx``, with a caption head ``caption.onnx``, and ``network.json``. Nothing is left
    there unless all graphs compute what the network does, at two sizes.

    Args:
        inferencer (MTLInferencer): The network with its test pipeline and its classes.
        out_dir (str | Path): Folder; what an earlier export left there is replaced.

    Returns:
        Path: The folder.

    Raises:
        ImportError: A package for exporting is missing.
        ValueError: The network does what cannot be exported, such as drawing captions at random.
        ExportError: The graphs differ from the network.
    """
    require_packages()
    out_dir = Path(out_dir)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    description = describe(inferencer)
    draft = Path(tempfile.mkdtemp(prefix=f'.{out_dir.name}.', suffix='.tmp', dir=out_dir.parent))
    try:
        reference = deepcopy(inferencer.model).to('cpu', torch.float32, memory_format=torch.contiguous_format).eval()
        network = deepcopy(reference)
        network.switch_to_deploy()
        _write_graphs(network, draft)
        (draft / FILE_NAME).write_text(json.dumps(description, ensure_ascii=False, indent=1) + '\n', encoding='utf-8')
        usual = input_size(description['letterbox']['scale'], description['input']['divisor'])
        for batch, size in ((1, usual), (2, (64, 160))):
            check_graphs(draft, reference, batch, size)
        _publish(draft, out_dir)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return out_dir


def require_packages() -> None:
    """Raise an ImportError unless all that exporting needs is installed."""
    missing = [name for name in ('onnx', 'onnxscript', 'onnxruntime') if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f'exporting needs {", ".join(missing)}: pip install {" ".join(missing)}, or install mmyolor-mtl[export]'
        )


@torch.no_grad()
def _write_graphs(network: YOLORMTL, folder: Path) -> None:
    vision = VisionGraph(network).eval()
    image = torch.rand(_BATCH, 3, _HEIGHT, _WIDTH)
    batch, rows, columns = (torch.export.Dim(name, min=least, max=512) for name, least in _DIMENSIONS)
    arguments = {'image': image}
    shapes: dict[str, Any] = {'image': {0: batch, 2: 32 * rows, 3: 32 * columns}}
    if vision.takes_region:
        arguments['region'] = torch.tensor([[0.0, 8.0, _WIDTH, 88.0], [4.0, 0.0, 100.0, _HEIGHT]])
        shapes['region'] = {0: batch}
    _export(vision, arguments, vision.output_names, shapes, folder / VISION_FILE)
    if 'cap' not in network.heads:
        return
    names = memory_names(network.heads['cap'])
    outputs = dict(zip(vision.output_names, vision(**arguments), strict=True))
    memory = tuple(outputs[name] for name in names)
    step = CaptionStep(network.heads['cap']).eval()
    layers, heads, channels = step.cache_shape
    cache = torch.rand(_BATCH, _BEAMS, layers, 2, heads, _PAST, channels)
    tokens = torch.zeros(_BATCH, _BEAMS, dtype=torch.long)
    free = torch.export.Dim.DYNAMIC
    _export(
        step,
        {'tokens': tokens, 'cache': cache, **dict(zip(names, memory, strict=True))},
        ('log_probs', 'new_cache'),
        (
            {0: free, 1: free},
            {0: free, 1: free, 5: free},
            tuple({0: free, axis: free} for axis in memory_axes(step.head)),
        ),
        folder / CAPTION_FILE,
    )


def _export(module: nn.Module, arguments: Mapping[str, Tensor], outputs: Any, shapes: Any, path: Path) -> None:
    """Run PyTorch's exporter, the one that traces with symbolic shapes; it says much that concerns nobody."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            torch.onnx.export(
                module,
                tuple(arguments.values()),
                path,
                input_names=list(arguments),
                output_names=list(outputs),
                dynamic_shapes=shapes,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@torch.no_grad()
def check_graphs(folder: Path, model: YOLORMTL, batch: int, size: tuple[int, int]) -> None:
    """Compare exported graphs with the network they were made of, on made-up pictures.

    Args:
        folder: Where the graphs lie.
        model: The network.
        batch: Pictures.
        size: (H, W) of the input, px.

    Raises:
        ExportError: An output differs by more than ``TOLERANCE``.
    """
    # Soft patches: on noise a network is far from what it learned, and rounding weighs more.
    patches = torch.rand(batch, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    image = F.interpolate(patches, size, mode='bilinear', align_corners=False)
    region = torch.tensor([[0.0, 16.0, size[1], size[0] - 8.0]]).repeat(batch, 1)
    feats = model.extract_feat(image, tuple({'backbone', *(head.source for head in model.heads.values())}))
    expected, shared = vision_outputs(model, feats)
    head = dict(model.heads.items()).get('cap')
    names = [] if head is None else memory_names(head)
    vision = load_graph(folder / VISION_FILE, [*expected, *names])
    feeds = {'image': image.numpy()}
    if head is not None and not isinstance(head, RegionCaptionHead):
        feeds['region'] = region.numpy()
    found = vision(feeds)
    for name, values in expected.items():
        _compare(f'{name} at {size[1]} x {size[0]} px', values.numpy(), found[name])
    if head is None:
        return
    memory = head.memory(feats[head.source], [tuple(row) for row in region.tolist()], shared)
    _check_steps(folder, head, memory, {name: found[name] for name in names}, batch)


def _check_steps(folder: Path, head: Any, memory: Any, exported_memory: dict[str, np.ndarray], batch: int) -> None:
    """As many words as a sentence may have, about each picture in two sentences from the second word on."""
    step = load_graph(folder / CAPTION_FILE, ('log_probs', 'new_cache'))
    decoding = head.decoder.start(memory)
    layers, heads, channels = CaptionStep(head).cache_shape
    cache: np.ndarray = np.zeros((batch, 1, layers, 2, heads, 0, channels), np.float32)
    tokens: np.ndarray = np.full((batch, 1), head.special_ids['bos_id'])
    for place in range(head.test_cfg['max_length']):
        logits = decoding.step(torch.from_numpy(tokens.ravel()))
        found = step({'tokens': tokens, 'cache': cache, **exported_memory})
        expected = logits.log_softmax(-1).numpy().reshape(found['log_probs'].shape)
        _compare(f'log-probabilities of word {place + 1}', expected, found['log_probs'])
        tokens, cache = expected.argmax(-1), found['new_cache']
        if place == 0:  # the two likeliest first words
            tokens = expected[:, 0].argsort(-1)[:, -2:]
            cache = cache.repeat(2, axis=1)
            decoding.reorder(torch.arange(batch).repeat_interleave(2))


def _compare(name: str, expected: np.ndarray, found: np.ndarray) -> None:
    if expected.shape != found.shape:
        raise ExportError(f'{name}: the graph gives the shape {found.shape}, the network {expected.shape}')
    difference = float(np.abs(expected - found).max(initial=0))
    limit = TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0)))
    if not difference <= limit:
        raise ExportError(
            f'{name}: graph and network differ by {difference:.2g}, more than {limit:.2g}; nothing was written'
        )


def _publish(draft: Path, out_dir: Path) -> None:
    """Move the files to their place, the description last: without it nobody takes the folder for a network."""
    out_dir.mkdir(exist_ok=True)
    for name in (FILE_NAME, VISION_FILE, CAPTION_FILE):
        (out_dir / name).unlink(missing_ok=True)
    for name in (VISION_FILE, CAPTION_FILE, FILE_NAME):
        if (draft / name).exists():
            os.replace(draft / name, out_dir / name)
