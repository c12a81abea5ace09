"""The guide to evaluation, as it stands: its commands in a shell, then its Python, on a network of the demo's size."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmyolor_mtl.datasets.shapes import write_shapes
from mmyolor_mtl.evaluation import DetectionMetric, PanopticMetric
from mmyolor_mtl.registry import METRICS, MODELS

from .guides import blocks, run_python, run_shell

PAGE = 'docs/user_guides/evaluation.md'
CONFIG = 'configs/shapes/yolor-mtl_elan-w25_det-ins-sem-cap_demo_shapes.py'
FILES = ('bbox.json', 'segm.json', 'stuff.json', 'panoptic.json', 'caption.json')


@pytest.fixture
def root(repo_root, tmp_path, monkeypatch):
    """What ``make demo`` leaves behind, in small: scenes, and a network that finds something everywhere."""
    for name in ('tools', 'configs', 'mmyolor_mtl'):
        (tmp_path / name).symlink_to(repo_root / name)
    monkeypatch.chdir(tmp_path)
    write_shapes('data/shapes', train=8, val=5, size=192, seed=0)
    init_default_scope('mmdet')
    model = MODELS.build(Config.fromfile(CONFIG).model)
    for name, parameter in model.named_parameters():
        if name.startswith('heads.det.') and name.endswith('.bias'):
            torch.nn.init.zeros_(parameter)  # scores of one half
    checkpoint = Path('work_dirs/demo/epoch_3.pth')
    checkpoint.parent.mkdir(parents=True)
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, checkpoint)
    (checkpoint.parent / 'last_checkpoint').write_text(str(checkpoint.absolute()))
    return tmp_path


@pytest.mark.slow
def test_the_guide_runs_as_it_stands(repo_root, root, capsys):
    page = repo_root / PAGE
    assert '\n'.join(blocks(page, 'shell')).count('tools/test.py') == 3
    run_shell(page, root, repo_root)
    whole, some, everything = (
        json.loads(Path(f'work_dirs/{name}/metrics.json').read_text()) for name in ('evaluation', 'some', 'all')
    )
    assert {name.split('/')[0] for name in whole} == {'coco', 'sem', 'pan', 'cap', 'seconds'}
    assert {name.split('/')[0] for name in some} == {'coco', 'sem', 'seconds'}
    for figures in (some, everything):
        assert {name: whole[name] for name in figures if name in whole and name != 'seconds'}.items() <= figures.items()
    assert {path.name for path in Path('work_dirs/all').glob('results.*')} == {
        *(f'results.{name}' for name in (*FILES, 'semantic', 'panoptic'))
    }

    assert len(blocks(page, 'python')) == 4
    names = run_python(page)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f'{whole["coco/bbox_mAP"]} {whole["sem/mIoU"]}'
    assert [line.split()[0] for line in printed[1:27]] == [row['class'] for row in everything['per_class']['sem']]
    assert float(printed[27].split()[0]) == pytest.approx(whole['coco/bbox_mAP'], abs=1e-12)
    assert float(printed[28]) == pytest.approx(whole['pan/PQ'], abs=1e-12)
    metrics = [METRICS.build(metric) for metric in names['val_evaluator']]
    assert [type(metrics[0]), type(metrics[2])] == [DetectionMetric, PanopticMetric]
    assert all(hasattr(metric, 'outfile_prefix') for metric in metrics)


def test_the_guide_names_options_and_files(repo_root):
    page, tool = ((repo_root / path).read_text() for path in (PAGE, 'tools/test.py'))
    for option in ('--metrics', '--per-class', '--results', '--out'):
        assert option in page and f"'{option}'" in tool
    assert all(f'results.{name}' in page for name in FILES)
