"""tools/analysis_tools/error_report.py on scenes of Shapes: known errors must come out as such."""

import json
import pickle
import re
import runpy
import shlex
import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmyolor_mtl.datasets.shapes import write_shapes
from mmyolor_mtl.utils import register_all_modules

from .shapes_predictions import SIZE, shapes_config, write_predictions

SCRIPT = Path(__file__).resolve().parents[2] / 'tools' / 'analysis_tools' / 'error_report.py'
SCENES = 9


class Page(HTMLParser):
    """Links, headings and text of a page; fails on tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.links, self.open, self.words = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.links += [value for key, value in attrs if key in ('src', 'href')]
        if tag not in ('meta', 'img'):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def tool(*arguments):
    return runpy.run_path(str(SCRIPT))['main']([str(argument) for argument in arguments])


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """Nine scenes, the last labelled for its semantic map alone; config, predictions and what is wrong with them."""
    register_all_modules()
    folder = tmp_path_factory.mktemp('errors')
    write_shapes(folder / 'shapes', 1, SCENES, size=SIZE, seed=5)
    annotations = folder / 'shapes' / 'annotations' / 'instances_val2017.json'
    content = json.loads(annotations.read_text())
    content['images'][-1]['labelled_tasks'] = ['sem']
    annotations.write_text(json.dumps(content))
    # Most of the time would go into a pretty text of the config.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **kwargs: (text, True))
        cfg = shapes_config(folder / 'shapes', folder / 'work')
        cfg.dump(str(folder / 'config.py'))
    known = write_predictions(cfg, folder / 'all.pkl')
    return folder, known


@pytest.fixture(scope='module')
def report(scenes):
    folder, _ = scenes
    assert tool(folder / 'config.py', folder / 'all.pkl', '--out-dir', folder / 'out', '--worst', 3) == 0
    return folder / 'out'


def test_known_errors_are_counted(scenes, report):
    known = scenes[1]
    errors = json.loads((report / 'errors.json').read_text())['errors']
    assert {task: part['images'] for task, part in errors.items()} == {
        **dict.fromkeys(('det', 'ins', 'pan', 'cap'), SCENES - 1),
        'sem': SCENES,
    }
    for task in ('det', 'ins'):
        found = errors[task]
        assert {kind: found['counts'][kind] for kind in known.counts} == known.counts
        names = found['names']
        swapped = {(names[a], names[b]): count for (a, b), count in known.swapped.items()}
        assert {(pair['true'], pair['predicted']): pair['count'] for pair in found['confused']} == swapped
        wrong = sum(sum(row[:-1]) - row[i] for i, row in enumerate(found['confusion'][:-1]))
        assert wrong == sum(known.swapped.values()) == 3
    true, predicted, count = known.pixels
    pair = errors['sem']['confused'][0]
    assert (pair['true'], pair['predicted'], pair['count']) == (true, predicted, count)
    assert errors['sem']['accuracy'] == pytest.approx(1 - count / (SCENES * SIZE**2), abs=1e-5)
    assert errors['pan']['PQ'] == 1
    assert min(errors['cap']['scores']) < 0.2 * max(errors['cap']['scores'])


def test_figures_are_those_of_the_evaluators(report):
    figures = json.loads((report / 'errors.json').read_text())['figures']
    assert figures['pan/PQ'] == 1 and 0 < figures['coco/bbox_mAP'] < 1 and figures['sem/mIoU'] < 1


def test_the_page_is_whole_and_needs_nothing_else(report):
    text = (report / 'index.html').read_text()
    page = Page(text)
    pictures = {link for link in page.links if not link.startswith('#')}
    assert pictures == {f'pictures/{file.name}' for file in (report / 'pictures').iterdir()}
    assert all(cv2.imread(str(report / link)) is not None for link in pictures)
    assert {link for link in page.links if link.startswith('#')} == {'#det', '#ins', '#sem', '#pan', '#cap'}
    assert not re.search(r'https?:|@import|<script', text)
    words = ' '.join(page.words)
    for part in (
        'Boxes (8 images',
        'Semantic map (9 images',
        'of the wrong class',
        ' missed',
        'words that nobody said',
    ):
        assert part in words
    assert sorted(file.name for file in report.iterdir()) == ['errors.json', 'index.html', 'pictures']


def test_worst_images_are_the_changed_ones(report):
    names = sorted(file.name for file in (report / 'pictures').iterdir())
    assert sum(name.startswith('sem_') for name in names) == 1  # only one map has wrong pixels
    assert not any(name.startswith('pan_') for name in names)
    assert sum(name.startswith('cap_') for name in names) == 3


def save_random_weights(config, path):
    init_default_scope('mmdet')
    torch.save({'state_dict': MODELS.build(Config.fromfile(config).model).state_dict(), 'meta': {}}, path)


def test_a_checkpoint_is_run_and_only_the_tasks_asked_for_are_judged(scenes, tmp_path, capsys):
    folder, _ = scenes
    save_random_weights(folder / 'config.py', tmp_path / 'random.pth')
    options = ['--tasks', 'det', 'pan', 'cap', '--score-thr', 0.0, '--worst', 2]
    assert tool(folder / 'config.py', tmp_path / 'random.pth', '--out-dir', tmp_path / 'out', *options) == 0
    assert f'to look at: {tmp_path / "out" / "index.html"}' in capsys.readouterr().out
    errors = json.loads((tmp_path / 'out' / 'errors.json').read_text())['errors']
    assert set(errors) <= {'det', 'pan', 'cap'} and {'det', 'cap'} <= set(errors)
    assert errors['det']['images'] == SCENES - 1 and errors['det']['counts']['background'] > 0
    assert len(list((tmp_path / 'out' / 'pictures').glob('det_*.jpg'))) == 2


def spoil(folder, tmp_path, change):
    content = pickle.loads((folder / 'all.pkl').read_bytes())
    path = tmp_path / 'spoilt.pkl'
    path.write_bytes(pickle.dumps(change(content)))
    return path


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda content: content[:-1], 'predictions of 8 images, the test data of the config has 9'),
        (lambda content: content[::-1], 'prediction 0 is of image'),
        (lambda content: {'images': content}, 'holds no list of predictions'),
        (lambda content: [{'img_id': one['img_id']} for one in content], 'has no pred_instances'),
    ],
    ids=['too few', 'another order', 'no list', 'no predictions'],
)
def test_predictions_that_do_not_fit(scenes, tmp_path, capsys, change, words):
    path = spoil(scenes[0], tmp_path, change)
    assert tool(scenes[0] / 'config.py', path, '--out-dir', tmp_path / 'out') == 2
    assert words in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ['spoilt.pkl']  # nothing half-written


def test_metrics_that_ask_for_more_than_there_is(scenes, tmp_path, capsys):
    path = spoil(scenes[0], tmp_path, lambda content: [{'img_id': one['img_id']} for one in content])
    options = ('--cfg-options', 'test_evaluator.0.type=CocoMetric')  # mmdet's own
    assert tool(scenes[0] / 'config.py', path, '--out-dir', tmp_path / 'out', *options) == 2
    assert "the test_evaluator of the config needs 'pred_instances', which image 500000001 lacks" in (
        capsys.readouterr().err
    )


def test_wrong_arguments_are_named_before_a_network_is_built(scenes, tmp_path, capsys, monkeypatch):
    folder = scenes[0]
    monkeypatch.setattr(MODELS, 'build', lambda *args, **kwargs: pytest.fail('a network was built'))
    weights = tmp_path / 'weights.pth'
    torch.save({'state_dict': {}}, weights)
    (tmp_path / 'text.pkl').write_text('no pickle')
    (tmp_path / 'bare.py').write_text('model = dict()')
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'file').touch()
    config, out = folder / 'config.py', ('--out-dir', tmp_path / 'out')
    missing = ('--cfg-options', 'test_dataloader.dataset.ann_file=annotations/none.json')
    for arguments, words in (
        ((tmp_path / 'none.py', weights, *out), 'none.py does not exist'),
        ((config, tmp_path / 'none.pth', *out), 'none.pth does not exist'),
        ((config, tmp_path / 'text.pkl', *out), 'text.pkl cannot be read as a pickle'),
        ((tmp_path / 'bare.py', weights, *out), 'bare.py has no test_dataloader'),
        ((config, weights, '--out-dir', tmp_path / 'full'), 'is not an empty folder'),
        ((config, weights, *out, '--worst', -1), '--worst -1 must not be negative'),
        ((config, weights, *out, '--score-thr', 2), '--score-thr 2.0 must be in [0, 1]'),
        ((config, weights, *out, *missing), 'none.json'),
    ):
        assert tool(*arguments) == 2, words
        assert words in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
    with pytest.raises(SystemExit):
        tool(config, weights, *out, '--tasks', 'boxes')


@pytest.mark.slow
def test_the_commands_of_the_guide(scenes, tmp_path, monkeypatch):
    root = SCRIPT.parents[2]
    page = (root / 'docs' / 'user_guides' / 'error_report.md').read_text()
    blocks = re.findall('```shell\n(.*?)```', page, re.DOTALL)
    assert [block.count('python tools/') for block in blocks] == [1, 2, 1]
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **kwargs: (text, True))
    monkeypatch.chdir(tmp_path)
    save_random_weights(scenes[0] / 'config.py', tmp_path / 'CHECKPOINT.pth')
    content = (scenes[0] / 'config.py').read_text()
    for number, block in enumerate(blocks):
        # Visualizers are kept by name, with their folder.
        (tmp_path / 'CONFIG.py').write_text(content.replace(str(scenes[0] / 'work'), f'work{number}'))
        for line in block.splitlines():
            _, script, *arguments = shlex.split(line)
            runpy.run_path(str(root / script))['main'](arguments)
        if number < 2:
            assert 'Boxes (8 images' in Path('work_dirs/errors/index.html').read_text()
            shutil.rmtree('work_dirs/errors')
    assert len(list(tmp_path.glob('work2/*/pictures/*.jpg'))) == SCENES
