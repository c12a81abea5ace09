"""The inferencer with a real network, from nothing but the checkpoint that the real runner wrote."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from PIL import Image

from mmyolor_mtl.apis import MTLInferencer
from mmyolor_mtl.registry import DATASETS, MODELS
from mmyolor_mtl.structures import MTLResult

from ..test_train.conftest import tiny_config

TASKS = ('det', 'ins', 'sem', 'pan', 'cap')


@pytest.fixture(scope='module')
def inferencer(trained):
    return MTLInferencer(weights=trained, device='cpu')


@pytest.fixture(scope='module')
def photos(scenes):
    return sorted((scenes / 'val2017').iterdir())


def test_a_checkpoint_is_enough(inferencer, trained, scenes, photos):
    """Its config, averaged weights, classes and words give what the network of the training gives."""
    cfg = tiny_config(scenes, trained.parent, max_epochs=1)
    model = MODELS.build(cfg.model).eval()
    checkpoint = torch.load(trained, weights_only=False)
    source = checkpoint['ema_state_dict']  # the runner swaps: what was trained stands here, the average in state_dict
    assert any(not torch.equal(source[f'module.{k}'], v) for k, v in checkpoint['state_dict'].items())
    model.load_state_dict(checkpoint['state_dict'])
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    with torch.no_grad():
        samples = [model.test_step(pseudo_collate([dataset[i]]))[0] for i in range(4)]
    for sample, result in zip(samples, inferencer(photos, score_thr=0.0, batch_size=3), strict=True):
        wanted = MTLResult.from_sample(sample, dataset.metainfo)
        assert sample.img_path == result.image and result.tasks == TASKS and len(result.labels) == 100
        np.testing.assert_allclose(result.scores, wanted.scores, atol=1e-5)
        assert np.mean(result.sem_seg == wanted.sem_seg) > 0.999 and result.caption == wanted.caption
        assert isinstance(result.masks[0], dict) and result.sem_names == wanted.sem_names


def test_single_tasks(inferencer, photos):
    whole = inferencer(photos[0], score_thr=0.0)[0]
    for tasks, there in ((['cap'], ('cap',)), (['pan'], ('pan',)), (['det', 'sem'], ('det', 'sem'))):
        part = inferencer(photos[0], score_thr=0.0, tasks=tasks)[0]
        assert part.tasks == there
        everything = whole.to_dict()
        for key, value in part.to_dict().items():
            if key == 'objects':
                assert value == [{k: v for k, v in one.items() if k != 'mask'} for one in everything[key]]
            else:
                assert value == everything[key]
    with pytest.raises(ValueError, match=r"tasks=\('ocr',\): give some of"):
        inferencer.stream(photos[0], tasks=('ocr',))


def test_half_precision_sees_nearly_the_same(inferencer, trained, photos):
    half = MTLInferencer(weights=trained, device='cpu', half=True)
    seen = []
    half.model.backbone.register_forward_hook(lambda _, __, out: seen.append(out[0].dtype))
    for one, other in zip(inferencer(photos, score_thr=0.0), half(photos, score_thr=0.0), strict=True):
        assert len(one.scores) == len(other.scores) and np.abs(one.scores - other.scores).max() < 0.02
        assert np.mean(one.sem_seg == other.sem_seg) > 0.9
    assert set(seen) == {torch.bfloat16}


def test_results_of_extreme_pictures(inferencer, tmp_path):
    """One pixel, lines of one pixel, 12,000 px wide: results in the picture's own pixels, and a drawing."""
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (1, 12_000), (12_000, 1), (80, 12_000), (2, 3)):
        array = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        result = inferencer(array, score_thr=0.0, out_dir=tmp_path)[0]
        assert result.error is None and result.tasks == TASKS
        assert result.sem_seg.shape == result.panoptic.shape == (height, width)
        assert (result.boxes >= 0).all() and (result.boxes <= [width, height, width, height]).all()
        assert all(mask['size'] == [height, width] for mask in result.masks) and result.caption
        assert max(cv2.imread(str(tmp_path / 'array_0.png')).shape) < 5000
        json.dumps(result.to_dict(), allow_nan=False)


def test_a_run_over_everything_hostile(inferencer, photos, tmp_path):
    """A result or a clear error each, in order, and the run goes on."""
    with Image.open(photos[0]) as image:
        scene = image.convert('RGB')
    size = scene.size
    images = {
        'grey.png': scene.convert('L'),
        'alpha.png': scene.convert('RGBA'),
        'cmyk.jpg': scene.convert('CMYK'),
        'palette.png': scene.convert('P'),
        'animated.gif': scene.convert('P'),
        'one_pixel.png': scene.resize((1, 1)),
        'wide.png': scene.resize((12_000, 40)),
    }
    for name, image in images.items():
        image.save(tmp_path / name, **(dict(save_all=True, append_images=[image] * 2) if name.endswith('gif') else {}))
    exif = Image.Exif()
    exif[0x0112] = 6
    scene.resize((60, 40)).save(tmp_path / 'turned.jpg', exif=exif)
    cv2.imwrite(str(tmp_path / 'deep.png'), np.asarray(scene)[..., ::-1].astype(np.uint16) * 257)
    good = {name: image.size for name, image in images.items()} | {'turned.jpg': (40, 60), 'deep.png': size}
    data = photos[0].read_bytes()
    bad = {'cut.jpg': data[: len(data) // 2], 'text.jpg': b'words ' * 99, 'empty.jpg': b''}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / 'folder.jpg').mkdir()

    listed = {name: tmp_path / name for name in [*good, *bad, 'folder.jpg', 'missing.jpg']}
    arrays = [np.full((4, 4, 3), np.nan), np.zeros((4, 4, 3), np.float32), None, tmp_path / '*.webp']
    results = inferencer([*listed.values(), *arrays], batch_size=4, out_dir=tmp_path / 'out')
    assert len(results) == len(listed) + len(arrays)
    by_name = dict(zip(listed, results, strict=False))
    for name, (width, height) in good.items():
        assert by_name[name].error is None and (by_name[name].width, by_name[name].height) == (width, height), name
    for name, result in by_name.items():
        assert name in good or name in result.error
    messages = [result.error for result in results[len(listed) :]]
    for message, part in zip(messages, ('float64', 'float32', 'NoneType', 'holds no image'), strict=True):
        assert part in message
    assert len(list((tmp_path / 'out').iterdir())) == len(good)
    # The folder by itself: what is no picture by its name is not looked at.
    assert [result.error is None for result in inferencer(tmp_path)].count(True) == len(good)


def test_options_reach_a_config_from_the_checkpoint(trained, photos):
    options = {'model.heads.det.test_cfg.max_per_img': 7, 'model.heads.cap.test_cfg.max_length': 3}
    inferencer = MTLInferencer(weights=trained, device='cpu', cfg_options=options)
    result = inferencer(photos[0], score_thr=0.0)[0]
    assert len(result.labels) == 7 and len(result.caption.split()) <= 3
    assert isinstance(inferencer.cfg.model.heads.det.test_cfg.max_per_img, int)


def test_a_config_beside_the_checkpoint_may_have_fewer_heads(trained, scenes, photos):
    cfg = Config(tiny_config(scenes, trained.parent, max_epochs=1).to_dict())
    for task in ('ins', 'sem', 'cap'):
        del cfg.model.heads[task]
    cfg.model.test_cfg = None
    assert MTLInferencer(cfg, trained, device='cpu')(photos[0])[0].tasks == ('det',)
