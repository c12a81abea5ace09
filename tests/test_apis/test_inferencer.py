import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmyolor_mtl.apis import MTLInferencer
from mmyolor_mtl.models.text import WordTokenizer
from mmyolor_mtl.registry import MODELS

from .fake_model import META, FakeMTL, fake_config


def picture(x0=10, y0=20, x1=30, y1=32, height=48, width=64):
    image = np.full((height, width, 3), 60, np.uint8)
    image[y0:y1, x0:x1] = 255
    return image


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'weights.pth'
    meta = {'dataset_meta': META, 'tokenizer': WordTokenizer.build(['a box on the floor']).state()}
    torch.save({'state_dict': {'module.scale': torch.ones(1)}, 'meta': meta}, path)
    return path


@pytest.fixture
def inferencer(checkpoint):
    # The vocabulary file of the training is gone: the checkpoint brings the words.
    return MTLInferencer(Config(fake_config(dict(type='mmyolor_mtl.WordTokenizer', vocab_file='gone.txt'))), checkpoint)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for i, name in enumerate(('b.png', 'a.jpg', 'c.png')):
        cv2.imwrite(str(folder / name), picture(x0=5 + i))
    (folder / 'notes.txt').write_text('not an image')
    return folder


def test_array_file_folder_and_list_agree(inferencer, folder):
    array = cv2.imread(str(folder / 'b.png'))
    one = inferencer(array)[0]
    assert one.boxes.tolist() == [[5, 20, 30, 32]] and one.class_names == ['box'] and one.image == 'array 0'
    assert (one.height, one.width) == (48, 64)
    assert inferencer(folder / 'b.png')[0].boxes.tolist() == one.boxes.tolist()
    assert [result.image[-5:] for result in inferencer(str(folder))] == ['a.jpg', 'b.png', 'c.png']
    mixed = inferencer([array, str(folder / 'c.png')], batch_size=2)
    assert [result.boxes[0, 0] for result in mixed] == [5, 7]


def test_words_come_from_the_checkpoint(inferencer):
    assert inferencer(picture())[0].caption == 'A box floor on the'


@pytest.mark.parametrize('batch_size', [1, 2, 7])
def test_a_broken_file_does_not_end_the_run(inferencer, folder, batch_size):
    (folder / 'aa.jpg').write_bytes((folder / 'a.jpg').read_bytes()[:50])
    (folder / 'ab.png').write_bytes(b'')
    results = inferencer([*sorted(folder.glob('*.*g')), folder / 'missing.png'], batch_size=batch_size)
    assert [result.error is None for result in results] == [True, False, False, True, True, False]
    assert 'aa.jpg' in results[1].error and 'cannot read' in results[5].error
    assert [len(result.boxes) for result in results] == [1, 0, 0, 1, 1, 0]


def test_pictures_are_written_once_for_each_image(inferencer, folder, tmp_path):
    cv2.imwrite(str(folder / 'a.png'), picture())
    inferencer(folder, out_dir=tmp_path / 'out')
    assert sorted(file.name for file in (tmp_path / 'out').iterdir()) == ['a.png', 'a_2.png', 'b.png', 'c.png']


def test_grey_images_and_score_threshold(inferencer):
    assert inferencer(picture()[..., 0])[0].boxes.tolist() == [[10, 20, 30, 32]]
    assert inferencer(picture(), score_thr=0.05)[0].labels.tolist() == [0, 1]


@pytest.mark.parametrize(('shape', 'dtype'), [((4, 4, 3), 'f4'), ((4, 4, 4), 'u1'), ((0, 4, 3), 'u1')])
def test_bad_arrays_are_an_error(inferencer, shape, dtype):
    with pytest.raises(ValueError, match='give BGR uint8'):
        inferencer(np.zeros(shape, dtype))


def test_missing_inputs_are_an_error(inferencer, tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere does not exist'):
        inferencer(tmp_path / 'nowhere')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='holds no image'):
        inferencer(tmp_path / 'empty')
    with pytest.raises(FileNotFoundError, match='list of images is empty'):
        inferencer([])
    with pytest.raises(ValueError, match='batch_size=0'):
        inferencer(picture(), batch_size=0)


def test_missing_config_or_checkpoint_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='config .*none.py does not exist'):
        MTLInferencer(tmp_path / 'none.py')
    with pytest.raises(FileNotFoundError, match='checkpoint .*none.pth does not exist'):
        MTLInferencer(Config(fake_config()), tmp_path / 'none.pth')
    with pytest.raises(ValueError, match='no model or no test_dataloader'):
        MTLInferencer(Config(dict(model=dict())))


def test_weights_that_do_not_fit_are_an_error(tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save({'state_dict': {'other': torch.ones(1)}}, path)
    with pytest.raises(ValueError, match=r'1 missing \(such as scale\)'):
        MTLInferencer(Config(fake_config()), path)
    torch.save({'scale': torch.ones(3)}, path)
    with pytest.raises(ValueError, match=r'1 of another shape \(such as scale\)'):
        MTLInferencer(Config(fake_config()), path)


def test_without_checkpoint_names_come_from_the_config():
    inferencer = MTLInferencer(Config(fake_config()), palette=[(1, 2, 3), (4, 5, 6)])
    assert inferencer.dataset_meta['classes'] == META['classes']
    assert inferencer.visualizer.dataset_meta['palette'] == [(1, 2, 3), (4, 5, 6)]
    assert inferencer(picture())[0].caption is None


def test_config_options_and_the_config_stays_as_it_was(checkpoint):
    cfg = Config(fake_config())
    inferencer = MTLInferencer(cfg, cfg_options={'model.width': 1})
    assert 'width' not in cfg.model and isinstance(inferencer.model, FakeMTL)
    assert MODELS.get('mmyolor_mtl.FakeMTL') is FakeMTL
