import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mmyolor_mtl.evaluation.functional import (
    JavaUnavailableError,
    check_metrics,
    java_tokenize,
    meteor,
    score_captions,
    spice,
    tokenize_captions,
)

from ..helpers import golden, golden_tokens


def test_end_to_end_equals_official():
    data = golden()
    scores = score_captions(*tokenize_captions(data['candidates'], data['references']))
    assert {name: scores.figures[name] for name in data['scores']} == pytest.approx(data['scores'], abs=1e-9)
    assert scores.per_image['ROUGE_L'] == pytest.approx(np.array(data['rouge_l']), abs=1e-9)
    assert scores.per_image['CIDEr'] == pytest.approx(np.array(data['cider']), abs=1e-9)
    assert scores.per_image['Bleu_4'] == pytest.approx(np.array(data['bleu_images'][3]), abs=1e-9)
    assert scores.absent == []


def test_end_to_end_on_coco(shared_dir):
    parity = shared_dir / 'parity'
    captions = {r['image_id']: r['caption'] for r in json.loads((parity / 'fakecap126_results.json').read_text())}
    references = {image_id: [] for image_id in captions}
    for annotation in json.loads((parity / 'fakecap126_gt.json').read_text())['annotations']:
        references[annotation['image_id']].append(annotation['caption'])
    tokens = tokenize_captions([*captions.values()], [*references.values()])
    expected = json.loads((parity / 'fakecap126_scores.json').read_text())['scores']
    figures = score_captions(*tokens).figures
    for name, figure in expected.items():
        assert name == 'METEOR' or figures[name] == pytest.approx(figure, abs=0.002)


def test_metrics_are_a_choice():
    assert check_metrics(['bleu', 'Cider_Plain']) == ('BLEU', 'CIDEr_plain')
    assert list(score_captions(*golden_tokens(), ['rouge_l', 'CIDEr_plain']).figures) == ['ROUGE_L', 'CIDEr_plain']
    for bad in (['cidr'], []):
        with pytest.raises(ValueError, match='choose from BLEU, ROUGE_L, CIDEr'):
            check_metrics(bad)
    with pytest.raises(ValueError, match="unknown tokenizer 'x'"):
        tokenize_captions(['a'], [['a']], 'x')


def test_java_tokenizer():
    data = golden()
    captions = [*data['candidates'], *(caption for caption, _ in data['tokens'])]
    expected = [*data['tokenized_candidates'], *(tokens for _, tokens in data['tokens'])]
    try:
        tokens = java_tokenize(captions)
    except JavaUnavailableError as error:
        pytest.skip(str(error))
    assert [' '.join(words) for words in tokens] == expected
    assert java_tokenize(['a\r\ndog\u2028', 'cat']) == [['a', 'dog'], ['cat']]
    assert java_tokenize([]) == []


def test_meteor():
    try:
        score, images = meteor(*golden_tokens())
    except JavaUnavailableError as error:
        pytest.skip(str(error))
    assert score == pytest.approx(golden()['meteor'], abs=1e-9)
    assert images == pytest.approx(np.array(golden()['meteor_images']), abs=1e-9)


def test_spice():
    try:
        score, images = spice([['a', 'red', 'dog']], [[['a', 'red', 'dog']]])
    except JavaUnavailableError as error:
        pytest.skip(str(error))
    assert score == pytest.approx(1)
    assert images == pytest.approx([1])


def test_absent_without_the_package(monkeypatch):
    for module in ('tokenizer.ptbtokenizer', 'meteor.meteor', 'spice.spice'):
        monkeypatch.setitem(sys.modules, f'pycocoevalcap.{module}', None)
    scores = score_captions(*golden_tokens(), ['METEOR', 'SPICE', 'ROUGE_L'])
    assert list(scores.figures) == list(scores.per_image) == ['ROUGE_L']
    assert scores.absent == [
        f'{name} is left out: {name} needs pycocoevalcap: pip install pycocoevalcap' for name in ('METEOR', 'SPICE')
    ]
    with pytest.raises(JavaUnavailableError, match="tokenizer 'java' needs pycocoevalcap"):
        tokenize_captions(['a'], [['a']], 'java')


class EndedProcess:
    """Meteor whose Java process has ended."""

    def compute_score(self, gts, res):
        return float('')  # what it answers


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """The package's modules without Java behind them, and an empty PATH."""
    for module in ('meteor.meteor', 'spice.spice'):
        package = SimpleNamespace(__file__=str(tmp_path / 'module.py'), Meteor=EndedProcess)
        monkeypatch.setitem(sys.modules, f'pycocoevalcap.{module}', package)
    monkeypatch.setenv('PATH', str(tmp_path))
    return tmp_path


def test_absent_without_java_or_models(stand_in):
    (line,) = score_captions(*golden_tokens(), ['METEOR']).absent
    assert 'METEOR needs Java' in line
    (stand_in / 'java').touch(mode=0o755)
    meteor_line, spice_line = score_captions(*golden_tokens(), ['METEOR', 'SPICE']).absent
    assert 'METEOR failed: its Java process needs' in meteor_line
    assert 'get_stanford_models' in spice_line and '\n' not in spice_line
