"""The notebook: clean as it is committed, and it runs from top to bottom."""

import ast
import json

import matplotlib
import matplotlib.pyplot as plt
import pytest

from mmyolor_mtl.visualization import MTLLocalVisualizer

NOTEBOOK = 'demo/MMYOLOR_MTL_Tutorial.ipynb'


@pytest.fixture
def cells(repo_root):
    return json.loads((repo_root / NOTEBOOK).read_text())['cells']


def test_it_is_a_notebook_without_outputs(repo_root, cells):
    content = json.loads((repo_root / NOTEBOOK).read_text())
    assert (content['nbformat'], content['nbformat_minor']) == (4, 5)
    assert len({cell['id'] for cell in cells}) == len(cells) and {c['cell_type'] for c in cells} == {'markdown', 'code'}
    for cell in cells:
        if cell['cell_type'] == 'code':
            assert cell['outputs'] == [] and cell['execution_count'] is None
            ast.parse(''.join(cell['source']))  # plain Python: no magics


def test_links_lead_somewhere(repo_root, cells):
    text = ''.join(line for cell in cells if cell['cell_type'] == 'markdown' for line in cell['source'])
    links = [part.split(')')[0] for part in text.split('](')[1:]]
    assert links and all((repo_root / 'demo' / link).is_file() for link in links)


@pytest.mark.slow
def test_it_runs_from_top_to_bottom(cells, tmp_path, monkeypatch):
    matplotlib.use('Agg')
    shown = []
    monkeypatch.setattr(plt, 'show', lambda: (shown.append(plt.gcf().number), plt.close('all')))
    monkeypatch.setattr(MTLLocalVisualizer, '_instance_dict', {})  # a new kernel has none
    monkeypatch.chdir(tmp_path)
    names = {'__name__': '__main__'}
    for cell in cells:
        if cell['cell_type'] == 'code':
            exec(compile(''.join(cell['source']), cell['id'], 'exec'), names)
    assert len(shown) == 4
    losses = [record['loss'] for record in names['records']]
    assert losses[-1] < 0.8 * losses[0]
    figures = names['figures']
    assert figures['sem/mIoU'] > 0.1 and figures['cap/Bleu_1'] > 0.2 and 'pan/PQ' in figures
    assert names['exported'].caption == names['result'].caption
    assert (names['exported'].sem_seg == names['result'].sem_seg).mean() > 0.999
