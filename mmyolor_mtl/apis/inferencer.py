"""Run a trained network on files, folders and arrays."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.logging import print_log
from mmengine.model.utils import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import CheckpointLoader

from mmyolor_mtl.registry import INFERENCERS
from mmyolor_mtl.structures import MTLResult
from mmyolor_mtl.utils.compat import register_safe_globals
from mmyolor_mtl.visualization import MTLLocalVisualizer

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')
Input = str | Path | np.ndarray


@dataclass
class _Image:
    name: str
    pixels: np.ndarray | None = None
    error: str | None = None


@INFERENCERS.register_module()
class MTLInferencer:
    """A trained network, ready for pictures.

    The words of the caption head come from the checkpoint where it carries them, so that a checkpoint works without the
    vocabulary file of its training.

    Args:
        model (str | Path | Config): Config or path of one.
        weights (str | Path, optional): Checkpoint. Without one the weights are random, which a warning says.
        device (str): 'cpu', 'cuda:0', ...
        palette (Sequence, optional): RGB colours of the thing classes, in place of the dataset's.
        cfg_options (Mapping, optional): Changes to the config, ``{'model.heads.det.test_cfg.score_thr': 0.1}``.

    Raises:
        FileNotFoundError: The config or the checkpoint does not exist.
        ValueError: The checkpoint does not fit the config, or the config has no ``test_dataloader`` pipeline.

    Examples:
        >>> inferencer = MTLInferencer('config.py', 'epoch_300.pth')  # doctest: +SKIP
        >>> result = inferencer('street.jpg', out_dir='out')[0]  # doctest: +SKIP
        >>> result.caption, result.class_names  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path | Config,
        weights: str | Path | None = None,
        device: str = 'cpu',
        palette: Sequence[Sequence[int]] | None = None,
        cfg_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.cfg = _read_config(model, cfg_options)
        init_default_scope(self.cfg.get('default_scope', 'mmdet'))
        checkpoint = _read_checkpoint(weights)
        meta = checkpoint.get('meta', {})
        if 'tokenizer' in meta:
            _set_tokenizer(self.cfg.model, meta['tokenizer'])
        network = revert_sync_batchnorm(MODELS.build(self.cfg.model))
        if weights is None:
            print_log('no checkpoint given: the results are those of random weights', 'current', logging.WARNING)
        else:
            _load_weights(network, checkpoint, str(weights))
        self.dataset_meta = self._dataset_meta(meta.get('dataset_meta'), palette)
        self.model = network.to(device).eval()
        self.pipeline = Compose(_array_pipeline(self.cfg))
        self.visualizer = MTLLocalVisualizer(name=f'inferencer-{id(self)}')
        self.visualizer.dataset_meta = self.dataset_meta

    def __call__(
        self,
        inputs: Input | Sequence[Input],
        batch_size: int = 1,
        score_thr: float = 0.3,
        out_dir: str | Path | None = None,
    ) -> list[MTLResult]:
        """Results of all inputs, in order; arguments as in :meth:`stream`."""
        return list(self.stream(inputs, batch_size, score_thr, out_dir))

    def stream(
        self,
        inputs: Input | Sequence[Input],
        batch_size: int = 1,
        score_thr: float = 0.3,
        out_dir: str | Path | None = None,
    ) -> Iterator[MTLResult]:
        """Results one by one, for inputs too many to hold.

        A file that cannot be read yields a result with ``error`` set and does not end the run.

        Args:
            inputs (str | Path | np.ndarray | Sequence): File, folder, BGR uint8 array (H,W,3) or grey (H,W), or a list
                of files and arrays.
            batch_size (int): Images a forward pass.
            score_thr (float): Lowest score of objects in the results and pictures.
            out_dir (str | Path, optional): Folder for one picture (PNG) for each image.

        Raises:
            FileNotFoundError: The only file or folder given does not exist, or a folder holds no image.
            ValueError: An array is not an image, or ``batch_size`` is below 1.
        """
        if batch_size < 1:
            raise ValueError(f'batch_size={batch_size} must be at least 1')
        items = list_inputs(inputs)
        return self._stream(items, batch_size, score_thr, None if out_dir is None else Path(out_dir))

    def _stream(
        self, items: Sequence[Input], batch_size: int, score_thr: float, out_dir: Path | None
    ) -> Iterator[MTLResult]:
        taken: set[str] = set()
        for start in range(0, len(items), batch_size):
            images = [_load(item, start + i) for i, item in enumerate(items[start : start + batch_size])]
            samples = iter(self._predict([image for image in images if image.pixels is not None], start))
            for image in images:
                if image.pixels is None:
                    yield MTLResult(image.name, error=image.error)
                    continue
                sample = next(samples)
                if out_dir is not None:
                    path = out_dir / f'{_free_name(Path(image.name).stem, taken)}.png'
                    rgb = np.ascontiguousarray(image.pixels[..., ::-1])
                    self.visualizer.add_datasample(
                        image.name, rgb, sample, draw_gt=False, pred_score_thr=score_thr, out_file=str(path)
                    )
                yield MTLResult.from_sample(sample, self.dataset_meta, image.name, score_thr)

    @torch.no_grad()
    def _predict(self, images: Sequence[_Image], first_id: int) -> list[DetDataSample]:
        if not images:
            return []
        batch = []
        for number, image in enumerate(images):
            assert image.pixels is not None
            shape = image.pixels.shape[:2]
            loaded = {'img': image.pixels, 'img_path': image.name, 'img_id': first_id + number}
            batch.append(self.pipeline({**loaded, 'img_shape': shape, 'ori_shape': shape}))
        return [sample.cpu() for sample in self.model.test_step(pseudo_collate(batch))]

    def _dataset_meta(self, saved: Mapping[str, Any] | None, palette: Sequence | None) -> dict[str, Any]:
        """Names and colours: those of the training, else those of the config's test set."""
        if saved is None:
            dataset = deepcopy(self.cfg.test_dataloader.dataset)
            saved = DATASETS.build({**dataset, 'pipeline': [], 'lazy_init': True}).metainfo
        meta = {key.lower(): value for key, value in saved.items()}
        return meta if palette is None else {**meta, 'palette': [tuple(color) for color in palette]}


def list_inputs(inputs: Input | Sequence[Input]) -> list[Input]:
    """Files of a folder in alphabetical order, or the given files and arrays as a list.

    Raises:
        FileNotFoundError: The file or folder does not exist, or the folder or list holds no image.
    """
    if isinstance(inputs, str | Path):
        path = Path(inputs)
        if not path.exists():
            raise FileNotFoundError(f'{path} does not exist: give an image or a folder of images')
        if not path.is_dir():
            return [path]
        files: list[Input] = [file for file in sorted(path.iterdir()) if file.suffix.lower() in IMAGE_SUFFIXES]
        if not files:
            raise FileNotFoundError(f'folder {path} holds no image ({", ".join(IMAGE_SUFFIXES)})')
        return files
    if isinstance(inputs, np.ndarray):
        return [inputs]
    if not len(inputs):
        raise FileNotFoundError('the list of images is empty')
    return list(inputs)


def _load(item: Input, number: int) -> _Image:
    if isinstance(item, np.ndarray):
        if item.dtype != np.uint8 or not (item.ndim == 2 or (item.ndim == 3 and item.shape[2] == 3)) or not item.size:
            raise ValueError(
                f'input {number} is a {item.dtype} array of shape {item.shape}: give BGR uint8 (H,W,3) or grey (H,W)'
            )
        return _Image(f'array {number}', np.stack([item] * 3, axis=2) if item.ndim == 2 else item)
    try:
        pixels = mmcv.imfrombytes(Path(item).read_bytes(), flag='color')
    except OSError as error:
        return _Image(str(item), error=f'cannot read {item}: {error.strerror or error}')
    except Exception as error:  # the decoders raise what they like on damaged files
        return _Image(str(item), error=f'cannot decode {item}: {error}')
    if pixels is None:
        return _Image(str(item), error=f'cannot decode {item}: not an image, or damaged')
    return _Image(str(item), pixels)


def _read_config(model: str | Path | Config, cfg_options: Mapping[str, Any] | None) -> Config:
    if isinstance(model, Config):
        cfg = deepcopy(model)
    elif Path(model).is_file():
        cfg = Config.fromfile(str(model))
    else:
        raise FileNotFoundError(f'config {model} does not exist')
    if cfg_options:
        cfg.merge_from_dict(dict(cfg_options))
    if 'model' not in cfg or 'test_dataloader' not in cfg:
        raise ValueError(f'config {cfg.filename} has no model or no test_dataloader')
    return cfg


def _read_checkpoint(weights: str | Path | None) -> dict[str, Any]:
    if weights is None:
        return {}
    if '://' not in str(weights) and not Path(weights).is_file():
        raise FileNotFoundError(f'checkpoint {weights} does not exist')
    register_safe_globals()
    return CheckpointLoader.load_checkpoint(str(weights), map_location='cpu')


def _load_weights(network: torch.nn.Module, checkpoint: Mapping[str, Any], origin: str) -> None:
    state = checkpoint.get('state_dict', checkpoint)
    state = {key.removeprefix('module.'): value for key, value in state.items()}
    own = network.state_dict()
    missing = [key for key in own if key not in state]
    differing = [key for key in own if key in state and own[key].shape != state[key].shape]
    if missing or differing:
        listed = [f'{len(missing)} missing (such as {missing[0]})'] if missing else []
        if differing:
            key = differing[0]
            theirs, ours = tuple(state[key].shape), tuple(own[key].shape)
            listed.append(f'{len(differing)} of another shape (such as {key}): {theirs} instead of {ours}')
        raise ValueError(f'checkpoint {origin} does not fit the config: weights {", ".join(listed)}')
    # A config with fewer heads than the checkpoint is a way to run faster, so weights left over are no error.
    extra = [key for key in state if key not in own]
    if extra:
        text = f'{len(extra)} weights of {origin} belong to no part of this config (such as {extra[0]})'
        print_log(text, 'current', logging.WARNING)
    network.load_state_dict(state, strict=False)


def _set_tokenizer(cfg: Any, tokenizer: Mapping[str, Any]) -> None:
    """Replace every tokenizer in a model's config by the one that a checkpoint carries."""
    if isinstance(cfg, dict):
        for key, value in cfg.items():
            if key == 'tokenizer':
                cfg[key] = dict(tokenizer)
            else:
                _set_tokenizer(value, tokenizer)
    elif isinstance(cfg, list | tuple):
        for value in cfg:
            _set_tokenizer(value, tokenizer)


def _array_pipeline(cfg: Config) -> list[dict[str, Any]]:
    """The test pipeline without its loaders: pixels are read here, and there are no annotations."""
    pipeline = deepcopy(get_test_pipeline_cfg(cfg))
    loaders = ('LoadImageFromFile', 'LoadMTLAnnotations', 'LoadAnnotations')
    return [step for step in pipeline if str(step['type']).rpartition('.')[2] not in loaders]


def _free_name(stem: str, taken: set[str]) -> str:
    stem = stem.replace(' ', '_')
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f'{stem}_{number}'
    taken.add(name)
    return name
