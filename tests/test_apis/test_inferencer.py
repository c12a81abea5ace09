import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmyolor_mtl.apis import MTLInferencer, VideoSource
from mmyolor_mtl.models.text import WordTokenizer
from mmyolor_mtl.registry import MODELS

from .fake_model import META, FakeMTL, fake_config
from .test_sources import write_video


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
    assert 'cannot read' in results[1].error and 'aa.jpg' in results[1].error
    assert 'missing.png does not exist' in results[5].error
    assert [len(result.boxes) for result in results] == [1, 0, 0, 1, 1, 0]


def test_pictures_are_written_once_for_each_image(inferencer, folder, tmp_path):
    cv2.imwrite(str(folder / 'a.png'), picture())
    inferencer(folder, out_dir=tmp_path / 'out')
    assert sorted(file.name for file in (tmp_path / 'out').iterdir()) == ['a.png', 'a_2.png', 'b.png', 'c.png']


def test_grey_images_and_score_threshold(inferencer):
    assert inferencer(picture()[..., 0])[0].boxes.tolist() == [[10, 20, 30, 32]]
    assert inferencer(picture(), score_thr=0.05)[0].labels.tolist() == [0, 1]


def test_missing_inputs_are_an_error(inferencer, tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere does not exist'):
        inferencer(tmp_path / 'nowhere')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='holds no image'):
        inferencer(tmp_path / 'empty')
    with pytest.raises(FileNotFoundError, match='list of images is empty'):
        inferencer([])
    for call in (inferencer, inferencer.stream, inferencer.stream_with_images):
        with pytest.raises(ValueError, match='batch_size=0'):
            call(picture(), batch_size=0)
    with pytest.raises(ValueError, match=r'never ends: use stream\(\)'):
        inferencer([picture(), 0])
    with pytest.raises(ValueError, match='a FakeMTL runs all that it has'):
        inferencer(picture(), tasks=['det'])
    with pytest.raises(TypeError, match='a set is no input'):
        inferencer({1})


def test_missing_config_or_checkpoint_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='config .*none.py does not exist'):
        MTLInferencer(tmp_path / 'none.py')
    with pytest.raises(FileNotFoundError, match='checkpoint .*none.pth does not exist'):
        MTLInferencer(Config(fake_config()), tmp_path / 'none.pth')
    with pytest.raises(ValueError, match='no model or no test_dataloader'):
        MTLInferencer(Config(dict(model=dict())))
    with pytest.raises(ValueError, match='weights must be specified'):
        MTLInferencer()
    with pytest.raises(ValueError, match="device='cuda:99' cannot be used"):
        MTLInferencer(Config(fake_config()), device='cuda:99')


def test_files_that_are_no_checkpoints(tmp_path, checkpoint):
    (tmp_path / 'text.pth').write_text('words')
    with pytest.raises(ValueError, match=r'text\.pth is no checkpoint, or damaged'):
        MTLInferencer(weights=tmp_path / 'text.pth')
    with pytest.raises(ValueError, match=r'weights\.pth carries no config: give the config beside it'):
        MTLInferencer(weights=checkpoint)
    torch.save([1], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match=r'list\.pth holds a list'):
        MTLInferencer(weights=tmp_path / 'list.pth')


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


def test_batches_are_filled_whatever_is_broken(inferencer, folder, monkeypatch):
    sizes = []
    forward = inferencer.forward
    monkeypatch.setattr(inferencer, 'forward', lambda data, *args: sizes.append(len(data)) or forward(data, *args))
    (folder / 'aa.jpg').write_bytes(b'')
    results = inferencer([*sorted(folder.glob('*.*g')), np.zeros(3), picture()], batch_size=2)
    assert sizes == [2, 2] and [result.error is None for result in results] == [True, False, True, True, False, True]
    assert sizes.clear() or len(inferencer([np.zeros(3)] * 3)) == 3 and sizes == [0]


def test_results_come_one_at_a_time(inferencer):
    asked = []

    def endless():
        while True:
            asked.append(1)
            yield picture()

    stream = inferencer.stream(endless())
    assert next(stream).image == 'array 0' and next(stream).image == 'array 1' and len(asked) == 2


def test_videos(inferencer, tmp_path):
    video = write_video(tmp_path / 'clip.avi', frames=4)
    results = inferencer(video, batch_size=3, out_dir=tmp_path / 'out')
    assert [result.image for result in results] == [f'{video}#{i}' for i in range(4)]
    assert sorted(file.name for file in (tmp_path / 'out').iterdir()) == [f'clip_{i:06d}.png' for i in range(4)]
    pairs = list(inferencer.stream_with_images(VideoSource(video, stride=3)))
    assert [(image.frame, result.image[-2:]) for image, result in pairs] == [(0, '#0'), (3, '#3')]


def test_progress_bars_are_for_terminals(checkpoint, folder, capsys):
    cfg = Config(fake_config())
    MTLInferencer(cfg, checkpoint)(folder)
    assert 'Inference' not in capsys.readouterr().out
    MTLInferencer(cfg, checkpoint, show_progress=True)(folder)
    assert 'Inference' in capsys.readouterr().out


def test_names_of_models():
    names = MTLInferencer.list_models('mmyolor_mtl')
    assert 'yolor-mtl_elan-w25_det-ins-sem-cap_demo_shapes' in names
    inferencer = MTLInferencer('GELAN-MTL_C_det_8xb8-300e_coco')
    assert inferencer.model.tasks == ('det',) and len(inferencer.dataset_meta['classes']) == 80


def test_the_visualizer_is_as_the_config_says(checkpoint):
    visualizer = dict(type='mmyolor_mtl.MTLLocalVisualizer', name='x', vis_backends=None, panels=['caption'])
    assert MTLInferencer(Config({**fake_config(), 'visualizer': visualizer})).visualizer.panels == ('caption',)
    visualizer = dict(type='DetLocalVisualizer', name='x', line_width=2)
    assert 'objects' in MTLInferencer(Config({**fake_config(), 'visualizer': visualizer})).visualizer.panels
