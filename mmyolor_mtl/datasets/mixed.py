"""Several data sets as one: different files, different labels, one common list of classes."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmcv.transforms import Compose
from mmengine.dataset import BaseDataset, ConcatDataset

from mmyolor_mtl.registry import DATASETS

from .samplers import seed_visit

# What a label means: these must agree, names of the data set and colours need not.
_LABEL_SPACE = ('classes', 'thing_ids', 'stuff_classes', 'stuff_ids', 'extra_classes')


@DATASETS.register_module()
class MixedDataset(ConcatDataset):
    """Data sets one after the other, each with its own files and its own subset of labels.

    All of them label with the classes of one ``metainfo``; what the classes are called in the files of each is the
    matter of that data set. Transforms that mix pictures draw their partners from the same data set. How often each is
    visited is the sampler's matter, see :class:`~mmyolor_mtl.datasets.RatioSampler`.

    Args:
        datasets (Sequence[dict | BaseDataset]): Data sets or their configs.
        metainfo (dict, optional): For all configs in ``datasets`` that have none.
        pipeline (Sequence[dict | callable], optional): For all configs in ``datasets`` that have none.
        lazy_init (bool): Read the annotation files later, with ``full_init``.

    Attributes:
        num_broken: Files met so far that could not be read and were replaced by others, in all data sets.

    Raises:
        ValueError: There is no data set, or two of them number their classes differently.
    """

    def __init__(
        self,
        datasets: Sequence[Mapping | BaseDataset],
        *,
        metainfo: Mapping | None = None,
        pipeline: Sequence[Any] | None = None,
        lazy_init: bool = False,
    ) -> None:
        if not datasets:
            raise ValueError('MixedDataset: datasets is empty')
        common = {'metainfo': metainfo, 'pipeline': pipeline, 'lazy_init': True}
        common = {key: value for key, value in common.items() if value is not None}
        parts = [DATASETS.build({**common, **one}) if isinstance(one, Mapping) else one for one in datasets]
        _check_label_space(parts)
        # The check of the parent class would be of all keys, and of the types of sequences.
        super().__init__(parts, lazy_init, ignore_keys=[key for part in parts for key in part.metainfo])

    def __getitem__(self, idx: int) -> Any:
        """A sample; the index within its data set has no seed any more, so it is used here."""
        seed_visit(idx)
        return super().__getitem__(idx)

    @property
    def pipeline(self) -> Compose:
        """The pipeline of the first data set; setting it, as ``PipelineSwitchHook`` does, sets that of all."""
        return self.datasets[0].pipeline

    @pipeline.setter
    def pipeline(self, pipeline: Compose) -> None:
        for dataset in self.datasets:
            dataset.pipeline = pipeline

    @property
    def num_broken(self) -> int:
        """How many unreadable samples were met and replaced so far."""
        return sum(getattr(dataset, 'num_broken', 0) for dataset in self.datasets)


def _check_label_space(datasets: Sequence[BaseDataset]) -> None:
    first = datasets[0]
    for number, dataset in enumerate(datasets[1:], start=1):
        for key in _LABEL_SPACE:
            expected, found = (tuple(one.metainfo.get(key) or ()) for one in (first, dataset))
            if expected != found:
                raise ValueError(
                    f'MixedDataset: {key} of data set {number} ({_name(dataset)}) are {_shorten(found)}, those of data '
                    f'set 0 ({_name(first)}) are {_shorten(expected)}: give MixedDataset one metainfo for all'
                )


def _name(dataset: BaseDataset) -> str:
    files = (getattr(dataset, key, '') for key in ('ann_file', 'panoptic_file', 'stuff_file', 'caption_file'))
    return next(filter(None, files), type(dataset).__name__)


def _shorten(values: tuple, most: int = 6) -> str:
    listed = ', '.join(map(repr, values[:most]))
    return f'({listed}, ... {len(values)} in all)' if len(values) > most else f'({listed})'
