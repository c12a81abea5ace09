import numpy as np
import pytest
from mmcv.transforms import Compose
from mmdet.engine.hooks import PipelineSwitchHook
from mmengine.dataset import pseudo_collate, worker_init_fn
from torch.utils.data import DataLoader

from mmyolor_mtl.datasets import COCO_METAINFO, COCOMultiTaskDataset, MixedDataset, MTLSampler, RatioSampler
from mmyolor_mtl.registry import DATASETS

from . import tiny_coco as tiny

TYPE = 'mmyolor_mtl.COCOMultiTaskDataset'


def parts(root):
    """Boxes only, captions only, everything; three of the same folder."""
    return [
        {'type': TYPE, **tiny.config(root, caption_file='', data_prefix={'img': 'train2017/'})},
        {'type': TYPE, **tiny.config(root, ann_file='', data_prefix={'img': 'train2017/'})},
        {'type': TYPE, **tiny.config(root)},
    ]


def without_pipeline(configs):
    return [{key: value for key, value in config.items() if key != 'pipeline'} for config in configs]


@pytest.fixture
def mixed(tiny_root):
    pipeline = tiny.train_pipeline(tiny_root / 'vocab.txt')
    return MixedDataset(without_pipeline(parts(tiny_root)), pipeline=pipeline)


class Tagged:
    """A transform that stands for a pipeline of its own."""

    def __init__(self, tag):
        self.tag = tag

    def __call__(self, results):
        return {'tag': self.tag}


def test_samples_of_all_parts_in_order(mixed):
    sizes = [len(part) for part in mixed.datasets]
    assert len(mixed) == sum(sizes) and min(sizes) > 3
    infos = [mixed.get_data_info(i) for i in range(len(mixed))]
    assert {info['labelled_tasks'] for info in infos[: sizes[0]]} == {('det', 'ins'), ('det',)}
    assert {info['labelled_tasks'] for info in infos[sizes[0] : sum(sizes[:2])]} == {('cap',)}
    assert {info['labelled_tasks'] for info in infos[sum(sizes[:2]) :]} >= {('det', 'ins', 'sem', 'cap')}
    assert mixed.metainfo['classes'] == COCO_METAINFO['classes']
    assert mixed[-1]['data_samples'].img_id == infos[-1]['img_id']


def test_config_builds_it_lazily(tiny_root):
    config = {'type': 'mmyolor_mtl.MixedDataset', 'datasets': parts(tiny_root), 'lazy_init': True}
    dataset = DATASETS.build(config)
    assert not any(part._fully_initialized for part in dataset.datasets)
    dataset.full_init()
    assert len(dataset) == sum(len(part) for part in dataset.datasets)


def test_common_pipeline_and_metainfo_are_for_those_without(tiny_root):
    own = {**parts(tiny_root)[0], 'pipeline': [Tagged('own')]}
    dataset = MixedDataset(
        [own, without_pipeline(parts(tiny_root))[2]],
        pipeline=[Tagged('common')],
        metainfo={'dataset_type': 'mix'},
    )
    first = len(dataset.datasets[0])
    assert [dataset[0]['tag'], dataset[first]['tag']] == ['own', 'common']
    assert {part.metainfo['dataset_type'] for part in dataset.datasets} == {'mix'}
    assert dataset.metainfo['dataset_type'] == 'mix'


def test_partners_come_from_the_same_part(tiny_root):
    configs = parts(tiny_root)
    dataset = MixedDataset([configs[0], configs[2]])
    seen = []

    def watch(results):
        seen.append(results['dataset'])
        return results

    dataset.pipeline = Compose([*tiny.LOAD, {'type': 'mmyolor_mtl.MTLMosaic', 'img_scale': (64, 64)}, watch])
    for idx in range(len(dataset)):
        tile = dataset[idx]
        part = dataset.datasets[0 if idx < len(dataset.datasets[0]) else 1]
        assert seen[-1] is part and len(part.partners(tile['partner_tasks']))


@pytest.mark.parametrize('workers', [0, 2])
def test_pipeline_switch_reaches_all_parts_and_running_workers(tiny_root, workers):
    dataset = MixedDataset(without_pipeline(parts(tiny_root)), pipeline=[Tagged('mosaic')])
    loader = DataLoader(
        dataset, batch_size=4, num_workers=workers, persistent_workers=workers > 0, collate_fn=pseudo_collate
    )

    class Runner:
        epoch = 0
        train_dataloader = loader

        class logger:  # noqa: N801
            info = staticmethod(print)

    def tags():
        return {tag for batch in loader for tag in batch['tag']}

    hook = PipelineSwitchHook(switch_epoch=1, switch_pipeline=[Tagged('plain')])
    seen = []
    for Runner.epoch in range(3):
        hook.before_train_epoch(Runner)
        seen.append(tags())
    assert seen == [{'mosaic'}, {'plain'}, {'plain'}]


def described(batch):
    """Everything random of a batch, as bytes."""
    told = []
    for pixels, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
        told += [sample.img_id, pixels.numpy().tobytes(), sample.gt_instances.bboxes.numpy().tobytes(), sample.flip]
        told += [sample.get(key).numpy().tobytes() for key in ('caption_view', 'gt_caption_ids') if key in sample]
    return told


@pytest.mark.parametrize('kind', ['mixed', 'plain'])
def test_samples_are_the_same_bit_for_bit_with_any_number_of_workers(mixed, kind):
    if kind == 'mixed':
        dataset, sampler = mixed, RatioSampler(mixed, ratios=(1, 1, 2), epoch_length=12, seed=5)
    else:
        dataset = mixed.datasets[2]
        sampler = MTLSampler(dataset, seed=5)

    def epoch(workers, seed):
        loader = DataLoader(
            dataset,
            batch_size=3,
            sampler=sampler,
            num_workers=workers,
            collate_fn=pseudo_collate,
            worker_init_fn=lambda worker: worker_init_fn(worker, workers, rank=0, seed=seed),
        )
        return [described(batch) for batch in loader]

    alone = epoch(0, seed=0)
    assert epoch(1, seed=1) == alone == epoch(2, seed=2)
    sampler.set_epoch(1)
    assert epoch(0, seed=0) != alone


def test_label_spaces_that_differ_are_refused(tiny_root):
    configs = parts(tiny_root)
    classes = list(COCO_METAINFO['classes'])
    classes[3:5] = classes[4:2:-1]
    configs[1]['metainfo'] = {'classes': classes}
    with pytest.raises(
        ValueError, match=r"classes of data set 1 \(.*captions_train2017.json\) are \('person'.*80 in all"
    ):
        MixedDataset(configs)
    configs[1]['metainfo'] = {'classes': list(COCO_METAINFO['classes'])}  # a list or a tuple is the same to us
    assert len(MixedDataset(configs).datasets) == 3


def test_classes_of_the_files_are_found_by_name(own_root):
    """The first part's files know two of COCO's things, under other ids, and one that COCO does not have."""
    content = tiny.read(own_root, 'instances_train2017')
    renumbered = {tiny.PERSON: 7, tiny.DOG: 2, tiny.CAR: 9}
    for ann in content['annotations']:
        ann['category_id'] = renumbered[ann['category_id']]
    content['categories'] = [{'id': i, 'name': n} for i, n in ((2, 'dog'), (7, 'person'), (9, 'spaceship'))]
    tiny.write(own_root, 'renumbered', content)
    first, _, last = parts(own_root)
    first = {**first, 'ann_file': 'annotations/renumbered.json', 'file_classes': 'file'}
    dataset = MixedDataset([first, last])
    assert dataset.metainfo['classes'] == COCO_METAINFO['classes']
    size = len(dataset.datasets[0])
    seen = set()
    for i in range(size):
        own, full = dataset.get_data_info(i), dataset.get_data_info(size + i)
        assert own['img_id'] == full['img_id']
        wanted = [one['bbox_label'] for one in full['instances'] if one['bbox_label'] != tiny.contiguous(tiny.CAR)]
        assert [one['bbox_label'] for one in own['instances']] == wanted
        seen.update(wanted)
    assert seen == {tiny.contiguous(tiny.PERSON), tiny.contiguous(tiny.DOG)}


def test_no_data_set_is_refused():
    with pytest.raises(ValueError, match='datasets is empty'):
        MixedDataset([])


def test_broken_files_of_all_parts_are_counted(own_root):
    broken = own_root / f'train2017/{tiny.PLAIN:012d}.jpg'
    dataset = MixedDataset([{**part, 'check': 'none', 'pipeline': tiny.LOAD} for part in parts(own_root)])
    broken.write_bytes(broken.read_bytes()[:-50])
    np.random.seed(0)
    assert all(dataset[idx]['img_id'] != tiny.PLAIN for idx in range(len(dataset)))
    assert dataset.num_broken == 3 and isinstance(dataset.datasets[0], COCOMultiTaskDataset)
