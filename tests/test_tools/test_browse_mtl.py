"""Pictures of samples: both views, every label, every step, whatever is broken."""

import copy
import json
from functools import lru_cache

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmyolor_mtl.datasets import SHAPES_METAINFO
from mmyolor_mtl.datasets.shapes import write_shapes
from tools.analysis_tools import browse_mtl

from ..test_train.conftest import SIZE, tiny_config

HATCH = (200, 200, 200)


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp('browse') / 'shapes'
    write_shapes(root, 6, 2, size=SIZE, seed=8)
    return root


@lru_cache(maxsize=1)
def base_config():
    return tiny_config('ROOT', 'run')


def write_config(root, tmp_path, change=lambda cfg: None):
    cfg = copy.deepcopy(base_config())
    weak_view = cfg.train_dataloader.dataset.pipeline[2]
    assert weak_view.type == 'RandomApply'
    weak_view.prob = 1.0
    change(cfg)
    path = tmp_path / 'tiny.json'  # written much faster than as Python
    path.write_text(json.dumps(cfg.to_dict()).replace('ROOT', str(root)))
    return str(path)


def browse(config, out_dir, *options):
    code = browse_mtl.main([config, '--out-dir', str(out_dir), *options])
    return code, {path.name: cv2.imread(str(path))[..., ::-1] for path in sorted(out_dir.glob('*'))}


def test_pictures_of_a_run_repeat_and_follow_the_seed(scenes, tmp_path):
    config = write_config(scenes, tmp_path)
    code, pictures = browse(config, tmp_path / 'a', '--num', '2')
    assert code == 0 and len(pictures) == 2 and all(name.endswith('.jpg') for name in pictures)
    assert min(picture.shape[1] for picture in pictures.values()) > 1700  # objects, semantic map, caption view
    _, again = browse(config, tmp_path / 'b', '--num', '2')
    assert all(np.array_equal(picture, again[name]) for name, picture in pictures.items())
    _, others = browse(config, tmp_path / 'c', '--num', '2', '--seed', '1')
    assert others.keys() != pictures.keys()


def stages_of(config, *, mode='train', close_mosaic=False, seed=0):
    """What the tool draws of the first sample, before it becomes a picture."""
    cfg = Config.fromfile(config)
    browse_mtl.init_default_scope('mmdet')
    dataset = browse_mtl.build_dataset(cfg, mode, close_mosaic)
    (visit,) = browse_mtl.choose_visits(cfg, dataset, mode, 1, seed)
    plain = dataset[visit]
    watched = browse_mtl.WatchedPipeline(dataset.pipeline)
    dataset.pipeline = watched
    dataset.prepare_data(visit)
    return watched.stages, plain


def test_stages_are_those_of_training(scenes, tmp_path):
    stages, plain = stages_of(write_config(scenes, tmp_path))
    assert [stage.title.split('. ')[1] for stage in stages] == [
        'LoadImageFromFile', 'LoadMTLAnnotations', 'RandomApply(CaptionView, TokenizeCaption)', 'MTLMosaic',
        'MTLRandomAffine', 'MTLMixUp', 'HSVJitter', 'MTLRandomFlip', 'PackMTLInputs',
    ]  # fmt: skip
    assert stages[0].sample is None and stages[0].pixels.shape == (SIZE, SIZE, 3)
    assert stages[3].pixels.shape == (2 * SIZE, 2 * SIZE, 3)
    # Looking on changes nothing: the last stage is what training gets.
    assert np.array_equal(stages[-1].pixels[..., ::-1].transpose(2, 0, 1), plain['inputs'].numpy())
    last = stages[-1].sample
    assert np.array_equal(last.gt_instances.bboxes, plain['data_samples'].gt_instances.bboxes)
    assert np.array_equal(last.caption_view, plain['data_samples'].caption_view)


def test_deferred_drawing_is_shown_and_left_deferred(scenes, tmp_path):
    def defer(cfg):
        cfg.train_dataloader.dataset.pipeline[3].defer = True

    stages, plain = stages_of(write_config(scenes, tmp_path, defer))
    assert stages[3].pixels.shape == (2 * SIZE, 2 * SIZE, 3) and len(np.unique(stages[3].pixels)) > 50
    assert np.array_equal(stages[-1].pixels[..., ::-1].transpose(2, 0, 1), plain['inputs'].numpy())


def test_closed_mosaic_and_validation(scenes, tmp_path):
    config = write_config(scenes, tmp_path)
    closed, _ = stages_of(config, close_mosaic=True)
    assert not any('Mosaic' in stage.title for stage in closed)
    val, _ = stages_of(config, mode='val')
    assert val[-1].original.shape == (SIZE, SIZE, 3)
    code, pictures = browse(config, tmp_path / 'val', '--mode', 'val', '--num', '99')
    assert code == 0 and len(pictures) == 2  # at most an epoch
    code, pictures = browse(config, tmp_path / 'closed', '--num', '1', '--close-mosaic')
    assert code == 0 and len(pictures) == 1


def near(picture, color, tolerance=10):
    return (np.abs(picture.astype(int) - color).max(axis=2) <= tolerance).sum()


@pytest.mark.parametrize('prob', [0, 1])
def test_a_transform_that_did_nothing_gets_a_line_only(scenes, tmp_path, prob):
    def flip(cfg):
        load, annotate, *_, pack = cfg.train_dataloader.dataset.pipeline
        pipeline = [load, annotate, dict(type='mmyolor_mtl.MTLRandomFlip', prob=prob), pack]
        cfg.train_dataloader.dataset.update(pipeline=pipeline)

    (picture,) = browse(write_config(scenes, tmp_path, flip), tmp_path / 'out', '--num', '1', '--stages')[1].values()
    # Two rows of panels of 560 px and one more if it was mirrored.
    assert (2 + prob) * 560 < picture.shape[0] < (3 + prob) * 560


def test_colours_of_labels_and_hatched_gaps(scenes, tmp_path):
    """An image of one box and a map of one class, half of it unlabelled."""

    def plain(cfg):
        weak_view = cfg.train_dataloader.dataset.pipeline[2].transforms
        load, annotate, *_, pack = cfg.train_dataloader.dataset.pipeline
        cfg.train_dataloader.dataset.update(pipeline=[load, annotate, *weak_view, pack])
        cfg.train_dataloader.sampler.shuffle = False

    root = tmp_path / 'shapes'
    write_shapes(root, 1, 1, size=SIZE, seed=2)
    (image,) = (root / 'train2017').iterdir()
    cv2.imwrite(str(image), np.full((SIZE, SIZE, 3), 120, np.uint8))
    semantic = np.full((SIZE, SIZE), SHAPES_METAINFO['stuff_ids'][0] - 1, np.uint8)
    semantic[SIZE // 2 :] = 255
    cv2.imwrite(str(root / f'stuffthingmaps/train2017/{image.stem}.png'), semantic)
    instances = root / 'annotations/instances_train2017.json'
    content = json.loads(instances.read_text())
    box = {'id': 1, 'image_id': content['images'][0]['id'], 'category_id': 1, 'bbox': [16, 16, 32, 32], 'area': 1024}
    outline = [16, 16, 48, 16, 48, 48, 16, 48]
    content['annotations'] = [{**box, 'iscrowd': 0, 'segmentation': [outline]}]
    instances.write_text(json.dumps(content))
    (picture,) = browse(write_config(root, tmp_path, plain), tmp_path / 'out', '--num', '1')[1].values()

    panel = picture.shape[1] // 3
    thing, stuff = SHAPES_METAINFO['palette'][0], SHAPES_METAINFO['stuff_palette'][0]
    blend = 0.45 * np.array(thing) + 0.55 * 120
    inside = near(picture[:, :panel], blend)
    assert 0.15 < inside / 560**2 < 0.27  # a quarter of the panel, less a box's lines and its tag
    over = 0.6 * np.array(stuff) + 0.4 * 120
    assert 0.4 < near(picture[:, panel : 2 * panel], over) / 560**2 < 0.52
    hatched = near(picture[:, panel : 2 * panel], HATCH, 25)
    assert hatched > 4000 > near(picture[:, :panel], HATCH, 25)


def test_partly_labelled_samples_of_a_mixture(scenes, tmp_path):
    def mix(cfg):
        data = cfg.train_dataloader.dataset
        images = dict(img='train2017/')
        common = dict(type=data.type, data_root=data.data_root, data_prefix=images)
        cfg.train_dataloader.dataset = dict(
            type='mmyolor_mtl.MixedDataset',
            pipeline=data.pipeline,
            datasets=[dict(**common, ann_file=data.ann_file), dict(**common, caption_file=data.caption_file)],
        )
        cfg.train_dataloader.sampler = dict(type='mmyolor_mtl.RatioSampler', ratios=(1, 1), epoch_length=2)

    code, pictures = browse(write_config(scenes, tmp_path, mix), tmp_path / 'out', '--stages')
    assert code == 0 and len(pictures) == 2


def test_broken_samples_do_not_end_the_run(tmp_path, capsys):
    root = tmp_path / 'shapes'
    write_shapes(root, 4, 2, size=SIZE, seed=8)
    first, second, *_ = sorted((root / 'train2017').iterdir())
    first.write_bytes(first.read_bytes()[:-100])
    second.write_bytes(b'no picture')

    def without_partners(cfg):
        cfg.train_dataloader.dataset.pipeline = [
            one for one in cfg.train_dataloader.dataset.pipeline if not one.type.endswith(('Mosaic', 'MixUp'))
        ]

    code, pictures = browse(write_config(root, tmp_path, without_partners), tmp_path / 'out')
    assert code == 1 and len(pictures) == 2
    told = capsys.readouterr().err
    assert first.name in told and second.name in told


def test_bad_input_is_refused(scenes, tmp_path, capsys):
    config = write_config(scenes, tmp_path, lambda cfg: cfg.update(custom_hooks=[]))
    for options, message in (
        (('--num', '0'), '--num 0 must be at least 1'),
        (('--close-mosaic',), 'needs training data and a PipelineSwitchHook'),
        (('--cfg-options', 'train_dataloader.dataset.data_root=nowhere'), 'nowhere'),
    ):
        assert browse(config, tmp_path / 'out', *options)[0] == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
