"""Run a trained network on whatever shows pictures."""

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.infer import BaseInferencer
from mmengine.logging import print_log
from mmengine.model.utils import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner.amp import autocast
from rich.progress import track

from mmyolor_mtl.models.detectors import YOLORMTL
from mmyolor_mtl.registry import INFERENCERS
from mmyolor_mtl.structures import MTLResult
from mmyolor_mtl.utils.compat import register_config_scope
from mmyolor_mtl.visualization import MTLLocalVisualizer

from .checkpoints import config_of, load_weights, read_checkpoint, set_tokenizer
from .images import LoadedImage
from .sources import Input, count_images, list_sources, read_images

_PACKAGE = 'mmyolor_mtl'
_BACK_ENDS = ('type', 'name', 'vis_backends', 'save_dir')


@INFERENCERS.register_module()
class MTLInferencer(BaseInferencer):
    """A trained network, ready for pictures.

    MMEngine's ``BaseInferencer``, used like mmdet's ``DetInferencer``, with these differences: results are typed
    (:class:`MTLResult`) and come one by one where wanted (:meth:`stream`); videos, cameras, patterns and Pillow images
    are inputs too; a broken input is reported in its result and does not end the run; weights must fit the config;
    a progress bar is drawn only on terminals.

    A checkpoint of MMEngine's runner carries the config, the names and colours of the classes and the words of the
    caption head: it is enough by itself. The network is brought into its deploy form, which is smaller and faster and
    predicts the same; the checkpoint stays as it is.

    Args:
        model (str | Path | Config, optional): Config, path of one, or its name in ``model-index.yml``. By default the
            config in the checkpoint; like any config it is code that is run, so take it from people you trust.
        weights (str | Path, optional): Checkpoint, file or URL. Without one the weights are random, which a warning
            says.
        device (str): 'cpu', 'cuda:0', ..., or 'auto': a GPU if there is one.
        palette (Sequence, optional): RGB colours of the thing classes, in place of the dataset's.
        cfg_options (Mapping, optional): Changes to the config, ``{'model.heads.det.test_cfg.score_thr': 0.1}``.
        half (bool): Compute in half precision where that is safe: float16 on GPUs, bfloat16 on CPUs.
        show_progress (bool, optional): Draw a progress bar in ``inferencer(...)``. By default on terminals only.

    Raises:
        FileNotFoundError: The config or the checkpoint does not exist.
        ValueError: Neither is given; the checkpoint carries no config or does not fit it; the config has no
            ``test_dataloader`` pipeline; the device does not exist.

    Examples:
        >>> inferencer = MTLInferencer(weights='epoch_300.pth')  # doctest: +SKIP
        >>> result = inferencer('street.jpg', out_dir='out')[0]  # doctest: +SKIP
        >>> result.caption, result.class_names  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path | Config | None = None,
        weights: str | Path | None = None,
        device: str = 'auto',
        palette: Sequence[Sequence[int]] | None = None,
        cfg_options: Mapping[str, Any] | None = None,
        half: bool = False,
        show_progress: bool | None = None,
    ) -> None:
        self.half = half
        self._cfg_options = dict(cfg_options or {})
        self._palette = palette
        register_config_scope()
        init_default_scope('mmdet')
        super().__init__(
            model=str(model) if isinstance(model, Path) else model,
            weights=None if weights is None else str(weights),
            device=get_device() if device == 'auto' else device,
            scope='mmdet',
            show_progress=sys.stdout.isatty() if show_progress is None else show_progress,
        )

    def __call__(
        self,
        inputs: Input | Iterable[Input],
        batch_size: int = 1,
        score_thr: float = 0.3,
        out_dir: str | Path | None = None,
        tasks: Sequence[str] | None = None,
    ) -> list[MTLResult]:
        """Results of all inputs, in order; arguments as in :meth:`stream`.

        Raises:
            ValueError: As there, or an input never ends.
        """
        sources = list_sources(inputs)
        total = count_images(sources)
        if total == float('inf'):
            raise ValueError('a camera or live stream never ends: use stream(), or VideoSource(..., max_frames=...)')
        results = self._draw(self._stream(sources, batch_size, score_thr, tasks), out_dir)
        return list(track(results, 'Inference', total) if self.show_progress else results)

    def stream(
        self,
        inputs: Input | Iterable[Input],
        batch_size: int = 1,
        score_thr: float = 0.3,
        out_dir: str | Path | None = None,
        tasks: Sequence[str] | None = None,
    ) -> Iterator[MTLResult]:
        """Results one by one, for inputs too many to hold.

        An input that cannot be used yields a result with ``error`` set and does not end the run.

        Args:
            inputs (Input | Iterable[Input]): File, folder, pattern (``**`` reaches into folders), URL, video, number of
                a camera, BGR uint8 array (H,W,3), BGRA (H,W,4) or grey (H,W), Pillow image, :class:`VideoSource`; a
                list that mixes these, or an iterator.
            batch_size (int): Images a forward pass.
            score_thr (float): Lowest score of objects in the results and pictures.
            out_dir (str | Path, optional): Folder for one picture (PNG) for each image, of the same name.
            tasks (Sequence[str], optional): The only tasks to run and report, of 'det', 'ins', 'sem', 'cap' and 'pan'.

        Raises:
            FileNotFoundError: The only input does not exist, a folder or pattern holds no image, or a list is empty.
            TypeError: The only input is of no kind that is known.
            ValueError: ``batch_size`` is below 1, or the model does not have such a task.
        """
        return self._draw(self.stream_with_images(inputs, batch_size, score_thr, tasks), out_dir)

    def stream_with_images(
        self,
        inputs: Input | Iterable[Input],
        batch_size: int = 1,
        score_thr: float = 0.3,
        tasks: Sequence[str] | None = None,
    ) -> Iterator[tuple[LoadedImage, MTLResult]]:
        """As :meth:`stream`, each result beside the picture that was read for it."""
        return self._stream(list_sources(inputs), batch_size, score_thr, tasks)

    def _stream(
        self, sources: Iterable[Any], batch_size: int, score_thr: float, tasks: Sequence[str] | None
    ) -> Iterator[tuple[LoadedImage, MTLResult]]:
        if batch_size < 1:
            raise ValueError(f'batch_size={batch_size} must be at least 1')
        if tasks is not None and not isinstance(self.model, YOLORMTL):
            raise ValueError(f'tasks={tasks!r}: a {type(self.model).__name__} runs all that it has')
        if tasks is not None:
            self.model.wanted_tasks(tasks)

        # What is wrong with the arguments is said now, not when the first result is asked for.
        def run() -> Iterator[tuple[LoadedImage, MTLResult]]:
            number = 0
            for batch in _batches(read_images(sources), batch_size):
                samples = self.forward(self.preprocess(batch, number), tasks, score_thr)
                yield from zip(batch, self.postprocess(batch, samples, score_thr), strict=True)
                number += len(batch)

        return run()

    def preprocess(self, images: Sequence[LoadedImage], first_id: int = 0) -> list[dict[str, Any]]:
        """Samples of the images that could be read, for the network.

        Args:
            images (Sequence[LoadedImage]): What was read.
            first_id (int): Number of the first one.
        """
        samples = []
        for number, image in enumerate(images, start=first_id):
            if image.pixels is not None:
                shape = image.pixels.shape[:2]
                loaded = {'img': image.pixels, 'img_path': image.name, 'img_id': number}
                samples.append(self.pipeline({**loaded, 'img_shape': shape, 'ori_shape': shape}))
        return samples

    @torch.no_grad()
    def forward(
        self, inputs: list[dict[str, Any]], tasks: Sequence[str] | None = None, min_score: float = 0.0
    ) -> list[DetDataSample]:
        """Predictions of some samples, on the CPU; arguments as of :meth:`YOLORMTL.predict`."""
        if not inputs:
            return []
        data = self.model.data_preprocessor(self.collate_fn(inputs), False)
        # Any other detector of mmdet works too, but knows nothing of these.
        wanted = {'tasks': tasks, 'min_score': min_score} if isinstance(self.model, YOLORMTL) else {}
        with autocast(self._device_type, enabled=self.half):
            samples = self.model(**data, mode='predict', **wanted)
        return [sample.cpu() for sample in samples]

    def postprocess(
        self, images: Sequence[LoadedImage], samples: Iterable[DetDataSample], score_thr: float
    ) -> list[MTLResult]:
        """A result for each image: of the next sample, or its error."""
        remaining = iter(samples)
        return [
            MTLResult(image.name, error=image.error)
            if image.pixels is None
            else MTLResult.from_sample(next(remaining), self.dataset_meta, image.name, score_thr)
            for image in images
        ]

    def visualize(self, image: LoadedImage, result: MTLResult, out_file: str | Path | None = None) -> np.ndarray:
        """Draw a result.

        Args:
            image (LoadedImage): With its pixels.
            result (MTLResult): Of this image.
            out_file (str | Path, optional): File to write.

        Returns:
            np.ndarray: BGR uint8 (h,w,3).
        """
        assert image.pixels is not None
        return result.plot(image.pixels, self.visualizer, out_file)

    def _draw(self, pairs: Iterable[tuple[LoadedImage, MTLResult]], out_dir: str | Path | None) -> Iterator[MTLResult]:
        taken: set[str] = set()
        for image, result in pairs:
            if out_dir is not None and image.pixels is not None:
                self.visualize(image, result, Path(out_dir) / f'{_free_name(image.stem, taken)}.png')
            yield result

    # ---- set-up, called by BaseInferencer --------------------------------------------------------------------
    def _load_model_from_metafile(self, model: str) -> tuple[Config, str | None]:
        """Config and weights of a name in ``model-index.yml``. MMEngine's fails where an entry has no weights."""
        folder = self._get_repo_or_mim_dir(_PACKAGE)
        for entry in self._get_models_from_metafile(folder):
            if model.lower() in (entry['Name'].lower(), *map(str.lower, _as_list(entry.get('Alias', [])))):
                return Config.fromfile(os.path.join(folder, entry['Config'])), entry.get('Weights')
        raise FileNotFoundError(
            f'config {model} does not exist, and no model of {folder}/model-index.yml has this name'
        )

    def _init_model(self, cfg: Config | ConfigDict, weights: str | None, device: str) -> torch.nn.Module:
        checkpoint = {} if weights is None else read_checkpoint(weights)
        full = config_of(checkpoint, str(weights)) if not cfg else Config(cfg.to_dict())
        full.merge_from_dict(self._cfg_options)
        cfg.update(full._cfg_dict)  # the base class keeps this object
        if 'model' not in cfg or 'test_dataloader' not in cfg:
            raise ValueError(f'config {full.filename or "without file"} has no model or no test_dataloader')
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        meta = checkpoint.get('meta', {})
        if 'tokenizer' in meta:
            set_tokenizer(cfg.model, meta['tokenizer'])
        network = revert_sync_batchnorm(MODELS.build(cfg.model))
        if weights is None:
            print_log('no checkpoint given: the results are those of random weights', 'current', logging.WARNING)
        else:
            load_weights(network, checkpoint, weights)
        self.dataset_meta = self._read_dataset_meta(cfg, meta.get('dataset_meta'))
        if isinstance(network, YOLORMTL):
            network.switch_to_deploy()
            if 'ins' in network.heads:
                network.heads['ins'].test_cfg['rle_above'] = 0  # results hold run lengths anyway
        try:
            # The layout in which convolutions are fastest, on CPUs as well.
            network = network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
        except (AssertionError, RuntimeError) as error:
            raise ValueError(f'device={device!r} cannot be used: {error}') from error
        self._device_type = torch.device(device).type
        return network

    def _read_dataset_meta(self, cfg: Config | ConfigDict, saved: Mapping[str, Any] | None) -> dict[str, Any]:
        """Names and colours: those of the training, else those of the config's test set."""
        if saved is None:
            dataset = deepcopy(cfg.test_dataloader.dataset)
            saved = DATASETS.build({**dataset, 'pipeline': [], 'lazy_init': True}).metainfo
        meta = {key.lower(): value for key, value in saved.items()}
        return meta if self._palette is None else {**meta, 'palette': [tuple(color) for color in self._palette]}

    def _init_collate(self, cfg: Config | ConfigDict) -> Callable:
        """Samples of a batch stay apart until the preprocessor stacks them, as in mmdet's loaders."""
        return pseudo_collate

    def _init_pipeline(self, cfg: Config | ConfigDict) -> Compose:
        """The test pipeline without its loaders: pixels are read here, and there are no annotations."""
        pipeline = deepcopy(get_test_pipeline_cfg(cfg))
        loaders = ('LoadImageFromFile', 'LoadMTLAnnotations', 'LoadAnnotations')
        return Compose([step for step in pipeline if str(step['type']).rpartition('.')[2] not in loaders])

    def _init_visualizer(self, cfg: Config | ConfigDict) -> MTLLocalVisualizer:
        """The project's visualizer as the config sets it, without its back ends."""
        settings = cfg.get('visualizer') or {}
        is_ours = str(settings.get('type')).rpartition('.')[2] == MTLLocalVisualizer.__name__
        style = {key: value for key, value in settings.items() if key not in _BACK_ENDS} if is_ours else {}
        visualizer = MTLLocalVisualizer(name=f'inferencer-{id(self)}', **style)
        visualizer.dataset_meta = self.dataset_meta
        return visualizer


def _batches(images: Iterable[LoadedImage], size: int) -> Iterator[list[LoadedImage]]:
    """Lists with ``size`` pictures each, the last with fewer, and beside them whatever could not be read."""
    batch: list[LoadedImage] = []
    room = size
    for image in images:
        batch.append(image)
        room -= image.pixels is not None
        if room == 0:
            yield batch
            batch, room = [], size
    if batch:
        yield batch


def _as_list(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _free_name(stem: str, taken: set[str]) -> str:
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f'{stem}_{number}'
    taken.add(name)
    return name
