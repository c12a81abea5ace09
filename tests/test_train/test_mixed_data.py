"""Three data sets (boxes alone, captions alone, everything) train together, on one process and on two."""

import json
from collections import Counter

import pytest
from mmengine.runner import Runner

from mmyolor_mtl.datasets.shapes import write_shapes

from . import visit_recorder  # noqa: F401  (registers the hook)
from .conftest import SIZE, tiny_config
from .forks import train_in_two_processes
from .test_runner import LOSSES

PER_PART = 6
RATIOS = (1, 1, 2)
EPOCH = (30, 30, 60)  # visits of an epoch that follow from the ratios

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def three_parts(tmp_path_factory):
    """18 scenes: six are labelled with boxes only, by classes of their own, six with captions only, six with all."""
    root = tmp_path_factory.mktemp('parts') / 'shapes'
    write_shapes(root, 3 * PER_PART, 2, size=SIZE, seed=5)
    for kind in ('instances', 'captions'):
        content = json.loads((root / f'annotations/{kind}_train2017.json').read_text())
        ids = sorted(image['id'] for image in content['images'])
        for part in range(3):
            own = set(ids[part * PER_PART : (part + 1) * PER_PART])
            images = [image for image in content['images'] if image['id'] in own]
            annotations = [ann for ann in content['annotations'] if ann['image_id'] in own]
            chosen = {**content, 'images': images, 'annotations': annotations}
            if (kind, part) == ('instances', 0):
                chosen = boxes_with_own_ids(chosen)
            text = json.dumps(chosen)
            (root / f'annotations/{kind}_{part}.json').write_text(text)
    return root


def boxes_with_own_ids(content):
    """Without masks; seven of the 14 things are known, listed backwards and numbered from 101."""
    known = content['categories'][6::-1]
    new_ids = {category['id']: 101 + i for i, category in enumerate(known)}
    annotations = [
        {**{k: v for k, v in ann.items() if k != 'segmentation'}, 'category_id': new_ids[ann['category_id']]}
        for ann in content['annotations']
        if ann['category_id'] in new_ids
    ]
    categories = [{**category, 'id': new_ids[category['id']]} for category in known]
    return {**content, 'categories': categories, 'annotations': annotations}


def mixed_config(root, work_dir, *, batch_size, num_workers=0):
    """The tiny config for the three parts."""
    cfg = tiny_config(root, work_dir, max_epochs=2, batch_size=batch_size)
    common = dict(type='mmyolor_mtl.ShapesDataset', data_root=str(root))
    images = dict(img='train2017/')
    cfg.train_dataloader.dataset = dict(
        type='mmyolor_mtl.MixedDataset',
        pipeline=cfg.train_dataloader.dataset.pipeline,
        datasets=[
            dict(**common, ann_file='annotations/instances_0.json', data_prefix=images, file_classes='file'),
            dict(**common, caption_file='annotations/captions_1.json', data_prefix=images),
            dict(
                **common,
                ann_file='annotations/instances_2.json',
                caption_file='annotations/captions_2.json',
                data_prefix=dict(**images, seg='stuffthingmaps/train2017/'),
            ),
        ],
    )
    cfg.train_dataloader.sampler = dict(type='mmyolor_mtl.RatioSampler', ratios=RATIOS, epoch_length=sum(EPOCH))
    cfg.train_dataloader.update(num_workers=num_workers, persistent_workers=num_workers > 0)
    cfg.optim_wrapper.optimizer.lr = 0.008
    cfg.randomness = dict(seed=7)
    cfg.custom_imports = dict(imports=['mmyolor_mtl', 'tests.test_train.visit_recorder'], allow_failed_imports=False)
    load, annotate, weak_view, letterbox, *_, pack = cfg.custom_hooks[0].switch_pipeline
    plain = [load, annotate, *weak_view.transforms, letterbox, pack]
    cfg.custom_hooks.append(dict(type='mmyolor_mtl.VisitRecorder', pipeline=plain))
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    return cfg


def report(work_dir, rank):
    return json.loads((work_dir / f'report_{rank}.json').read_text())


@pytest.fixture(scope='module')
def alone(three_parts, tmp_path_factory):
    """One process, which prepares its samples itself."""
    work_dir = tmp_path_factory.mktemp('alone')
    Runner.from_cfg(mixed_config(three_parts, work_dir, batch_size=4)).train()
    return report(work_dir, 0)


@pytest.fixture(scope='module')
def pair(three_parts, tmp_path_factory):
    """Two processes with half the batch each; two workers prepare the samples of each."""
    work_dir = tmp_path_factory.mktemp('pair')
    config = work_dir / 'mixed.py'
    mixed_config(three_parts, work_dir, batch_size=2, num_workers=2).dump(config)
    train_in_two_processes(config)
    return [report(work_dir, rank) for rank in range(2)]


@pytest.mark.parametrize('processes', ['alone', 'pair'])
def test_every_loss_falls(processes, request):
    reports = request.getfixturevalue(processes)
    for one in reports if processes == 'pair' else [reports]:
        assert set(one['before']) == LOSSES
        ratio = {name: one['after'][name] / one['before'][name] for name in LOSSES}
        assert max(ratio.values()) < 0.95, ratio


def test_processes_end_with_the_same_weights(pair):
    assert pair[0]['weights'] == pair[1]['weights']
    assert pair[0]['before'] == pair[1]['before'] and pair[0]['after'] == pair[1]['after']


def test_every_epoch_visits_what_the_ratios_say(alone, pair):
    steps = sum(EPOCH) // 4
    for reports in ([alone], pair):
        for epoch in range(2):
            batches = [batch for one in reports for batch in one['steps'][epoch * steps : (epoch + 1) * steps]]
            ids = Counter(img_id for batch in batches for img_id, _ in batch)
            parts = sorted(ids)
            assert len(parts) == 3 * PER_PART
            for part, visits in enumerate(EPOCH):
                own = [ids[img_id] for img_id in parts[part * PER_PART : (part + 1) * PER_PART]]
                assert sum(own) == visits and max(own) == min(own)
        assert all(len(one['steps']) == 2 * steps for one in reports)


def test_samples_are_the_same_with_other_processes_and_workers(alone, pair):
    together = [
        [sample for samples in zip(first, second, strict=True) for sample in samples]
        for first, second in zip(*(one['steps'] for one in pair), strict=True)
    ]
    assert together == alone['steps']
    checksums = [checksum for batch in alone['steps'] for _, checksum in batch]
    assert len(set(checksums)) == len(checksums)  # random numbers differ between all visits
