"""The tool scores files of captions, and says what is wrong with them."""

import csv
import importlib.util
import json
import sys
from pathlib import Path

import pytest

from mmyolor_mtl.evaluation.functional import CAPTION_METRICS

FOLDER = Path(__file__).resolve().parents[2] / 'tools' / 'analysis_tools'
GOLDEN = Path(__file__).resolve().parents[1] / 'test_evaluation' / 'caption_golden.json'


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def tool():
    return load('eval_captions')


@pytest.fixture
def files(tmp_path):
    """Golden captions as files; image 77 has no captions, as in a partly labelled set."""
    golden = json.loads(GOLDEN.read_text())
    results = [{'image_id': i, 'caption': caption} for i, caption in enumerate(golden['candidates'])]
    annotations = [
        {'image_id': i, 'id': 100 * i + j, 'caption': caption}
        for i, refs in enumerate(golden['references'])
        for j, caption in enumerate(refs)
    ]
    content = {'images': [{'id': i} for i in (*range(len(results)), 77)], 'annotations': annotations}
    paths = tmp_path / 'results.json', tmp_path / 'captions.json'
    paths[0].write_text(json.dumps([*results[::-1], {'image_id': 77, 'caption': 'A dog'}]))
    paths[1].write_text(json.dumps(content))
    return [str(path) for path in paths]


def test_equals_official(tool, files, tmp_path, capsys):
    out, per_image = tmp_path / 'scores.json', tmp_path / 'images.csv'
    assert tool.main([*files, '--out', str(out), '--per-image', str(per_image)]) == 0
    golden = json.loads(GOLDEN.read_text())
    figures = json.loads(out.read_text())
    assert figures['images'] == 6
    assert {name: figures[name] for name in golden['scores']} == pytest.approx(golden['scores'], abs=1e-9)
    lines = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert lines['images'] == '6' and lines['CIDEr'] == '1.5464' and lines['vocabulary'] == '18'
    with per_image.open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert [int(row['image_id']) for row in rows] == [0, 1, 2, 3, 4, 5]
    assert [row['caption'] for row in rows] == golden['candidates']
    assert [float(row['CIDEr']) for row in rows] == pytest.approx(golden['cider'], abs=1e-9)


def test_real_files(tool, shared_dir, tmp_path):
    parity = shared_dir / 'parity'
    paths = [str(parity / f'fakecap126_{name}.json') for name in ('results', 'gt')]
    assert tool.main([*paths, '--out', str(tmp_path / 'scores.json')]) == 0
    expected = json.loads((parity / 'fakecap126_scores.json').read_text())['scores']
    figures = json.loads((tmp_path / 'scores.json').read_text())
    for name in expected.keys() - {'METEOR'}:
        assert figures[name] == pytest.approx(expected[name], abs=0.002)


def test_absent_metrics_take_one_line(tool, files, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycocoevalcap.meteor.meteor', None)
    assert tool.main([*files, '--metrics', 'rouge_l', 'meteor']) == 0
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ['METEOR is left out: METEOR needs pycocoevalcap: pip install pycocoevalcap']
    assert [line.split()[0] for line in captured.out.splitlines()] == ['images', 'ROUGE_L']


def test_missing_captions(tool, files, capsys):
    results = json.loads(Path(files[0]).read_text())
    Path(files[0]).write_text(json.dumps([r for r in results if r['image_id'] not in (1, 3)]))
    assert tool.main(files) == 2
    assert '2 images (1, 3) with references have no caption in the results; --allow-missing' in capsys.readouterr().err
    assert tool.main([*files, '--allow-missing']) == 0
    assert capsys.readouterr().out.split()[:2] == ['images', '4']


def spoil(files, change):
    results = json.loads(Path(files[0]).read_text())
    Path(files[0]).write_text(json.dumps(change(results)))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda r: [{**entry, 'image_id': str(entry['image_id'])} for entry in r], "7 images ('5', '4', '3', '2', '1'"),
        (lambda r: [*r, r[0]], 'more than one caption of 1 image (5)'),
        (lambda r: [], 'holds no results'),
        (lambda r: {'annotations': r}, 'no COCO result file'),
        (lambda r: r[-1:], 'have no caption in the results'),
    ],
)
def test_bad_results(tool, files, tmp_path, capsys, change, message):
    spoil(files, change)
    out = tmp_path / 'scores.json'
    assert tool.main([*files, '--out', str(out)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith('eval_captions: ') and message in captured.err
    assert captured.out == '' and not out.exists()


def test_nothing_left(tool, files, capsys):
    spoil(files, lambda results: results[-1:])  # the image without references
    assert tool.main([*files, '--allow-missing']) == 2
    assert 'no image has both' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--metrics', 'wer'], "unknown caption metrics ['wer']: choose from " + ', '.join(CAPTION_METRICS)),
        (['--out', 'no/such/folder.json'], 'there is no folder no/such'),
    ],
)
def test_bad_arguments(tool, files, capsys, arguments, message):
    assert tool.main([*files, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_files_in_the_wrong_order(tool, files, capsys):
    assert tool.main(files[::-1]) == 2
    assert 'captions.json is no COCO result file' in capsys.readouterr().err


def test_benchmark():
    tool = load('benchmark_caption_metrics')
    figures = tool.run(tool.parse_args(['--images', '200', '--references', '3', '--rewards', '50', '--repeats', '1']))
    assert figures['images'] == 200
    assert 9 < figures['mean_length'] < 13
    assert figures['seconds_both'] == pytest.approx(figures['seconds_tokenize'] + figures['seconds_score'])
    assert figures['rewards_per_second'] > 1000
    if 'ratio' in figures:
        assert figures['largest_difference'] < 1e-9 and figures['largest_difference_of_an_image'] < 1e-9
    assert tool.make_captions(5, 2, seed=1) == tool.make_captions(5, 2, seed=1) != tool.make_captions(5, 2, seed=2)
