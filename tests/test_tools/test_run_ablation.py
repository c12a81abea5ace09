"""Lists of configs with seeds: what runs, what is skipped, what a failure leaves, and a real comparison in small."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmyolor_mtl.datasets.shapes import write_shapes
from tools.analysis_tools import run_ablation

from ..test_train.conftest import tiny_config

# Stands for tools/train.py: notes its arguments; a config with ``broken = True`` fails.
TRAIN = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[sys.argv.index('--work-dir') + 1])
with open('calls.txt', 'a') as calls:
    print(folder.parent.name, folder.name, '--resume' in sys.argv, sys.argv[-1], file=calls)
(folder / 'last_checkpoint').write_text('epoch_1.pth')
if 'broken' in pathlib.Path(sys.argv[1]).read_text():
    sys.exit('no such picture: 17.jpg')
seed = int(sys.argv[-1].rpartition('=')[2])
(folder / 'metrics.json').write_text(json.dumps({'sem/mIoU': 0.5 + seed / 10, 'cap/Bleu_4': None}))
"""
MODEL = """
img_scale = (64, 64)
model = dict(
    type='mmyolor_mtl.YOLORMTL',
    backbone=dict(type='mmyolor_mtl.ELANBackbone', widen_factor=1 / 16),
    neck=dict(
        type='mmyolor_mtl.ELANPAFPN', in_channels=(32, 64, 64), out_channels=(256, 512, 1024), widen_factor=1 / 16
    ),
    heads=dict(sem=dict(type='mmyolor_mtl.YOLORSemanticHead', num_classes=5, in_channels=(16, 32, 64))),
)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two configs, of which ``bad`` fails, and a stub in place of the training script."""
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'tools/train.py').write_text(TRAIN)
    (tmp_path / 'good.py').write_text(MODEL)
    (tmp_path / 'bad.py').write_text(f'{MODEL}broken = True\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_ablation, 'TOOLS', tmp_path / 'tools')
    return tmp_path


def run(*options, configs=('good.py', 'bad.py')):
    code = run_ablation.main([*configs, '--seeds', '1', '3', '--work-dir', 'out', '--steps', '0', *options])
    calls = Path('calls.txt')
    lines = calls.read_text().splitlines() if calls.exists() else []
    calls.unlink(missing_ok=True)
    return code, lines


def summary():
    return json.loads(Path('out/ablation.json').read_text())


def test_a_failure_is_reported_and_the_others_go_on(folder, capsys):
    code, calls = run()
    assert code == 1
    assert calls == [f'{name} seed{seed} False randomness.seed={seed}' for seed in (1, 3) for name in ('good', 'bad')]
    assert 'no such picture: 17.jpg' in capsys.readouterr().err
    good, bad = (summary()['variants'][name] for name in ('good', 'bad'))
    assert good['metrics'] == {'sem/mIoU': {'mean': pytest.approx(0.7), 'std': pytest.approx(2**0.5 / 10), 'n': 2}}
    assert good['cost']['parameters'] == bad['cost']['parameters'] > 100_000 and good['cost']['gflops'] > 0.005
    assert [record['status'] for record in bad['runs']] == ['failed', 'failed'] and not bad['metrics']
    assert good['times']['seconds']['n'] == good['times']['cpu_seconds']['n'] == 2
    report = Path('out/ablation.md').read_text()
    assert '| good | 2 | 0.700 ± 0.141 |' in report and '| bad | 0 |  |' in report
    assert '### bad, seed 3' in report and report.count('no such picture: 17.jpg') == 2


def test_finished_runs_are_skipped_and_failed_ones_go_on(folder):
    run()
    code, calls = run()
    assert code == 1 and calls == [f'bad seed{seed} True randomness.seed={seed}' for seed in (1, 3)]
    (folder / 'bad.py').write_text(MODEL)
    code, calls = run('--jobs', '2')
    assert code == 0 and sorted(calls) == [f'bad seed{seed} False randomness.seed={seed}' for seed in (1, 3)]
    assert run() == (0, [])
    code, calls = run('--cfg-options', 'model.heads.sem.implicit=True', configs=('good.py',))
    assert code == 0 and len(calls) == 2  # other settings, other runs
    assert run('--seeds', '1', '5', configs=('bad.py',)) == (0, ['bad seed5 False randomness.seed=5'])


def test_an_interrupted_run_goes_on_and_its_time_does_not_count(folder):
    run(configs=('good.py',))
    record = Path('out/good/seed1/run.json')
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, 'status': 'started'}))  # what a killed tool leaves
    assert run(configs=('good.py',)) == (0, ['good seed1 True randomness.seed=1'])
    good = summary()['variants']['good']
    assert good['metrics']['sem/mIoU']['n'] == 2 and good['times']['seconds']['n'] == 1
    (Path('out/good/seed1') / 'last_checkpoint').unlink()
    record.write_text(json.dumps({**content, 'status': 'started'}))
    assert run(configs=('good.py',)) == (0, ['good seed1 False randomness.seed=1'])


def test_no_figures_are_a_failure(folder, capsys):
    (folder / 'tools/train.py').write_text('')
    assert run(configs=('good.py',))[0] == 1
    assert 'it ended without metrics.json' in capsys.readouterr().err


def test_dry_run(folder, capsys):
    assert run('--dry-run') == (0, []) and not Path('out').exists()
    shown = capsys.readouterr().out
    assert shown.count('to be run') == 4
    assert 'train.py good.py --work-dir out/good/seed3 --cfg-options randomness.seed=3' in shown
    run(configs=('good.py',))
    capsys.readouterr()
    run('--dry-run', '--gpus', '8')
    shown = capsys.readouterr().out
    assert shown.count('finished') == 2 and 'dist_train.sh bad.py 8 --work-dir out/bad/seed1' in shown


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['nowhere.py'], 'there is no config nowhere.py'),
        (['good.py', 'good.py'], 'config given twice: good'),
        (['good.py', '--seeds', '1', '1'], 'seed given twice: 1'),
        (['good.py', '--jobs', '0'], '--jobs and --rounds must be at least 1'),
        (['good.py', '--gpus', '2', '--jobs', '2'], 'leave --jobs at 1'),
    ],
)
def test_bad_command_lines(folder, capsys, options, message):
    with pytest.raises(SystemExit):
        run_ablation.main(options)
    assert message in capsys.readouterr().err


def test_a_damaged_record_and_a_config_without_size(folder, capsys):
    run(configs=('good.py',))
    Path('out/good/seed3/run.json').write_text('{"status": ')
    assert run(configs=('good.py',)) == (2, [])
    assert 'seed3/run.json is damaged' in capsys.readouterr().err
    (folder / 'sizeless.py').write_text(MODEL.replace('img_scale', 'size'))
    assert run(configs=('sizeless.py',))[0] == 2
    assert 'has no img_scale' in capsys.readouterr().err


@pytest.mark.slow
def test_real_runs(repo_root, tmp_path):
    """Two variants with two seeds each, three steps a run; the one trains, the other has no pictures."""
    scenes = tmp_path / 'shapes'
    write_shapes(scenes, 12, 4, size=64, seed=3)
    cfg = tiny_config(scenes, tmp_path / 'unused', max_epochs=2, batch_size=4)
    cfg.pop('work_dir')
    del cfg.model.heads.cap
    cfg.custom_hooks.clear()
    for name, root in (('all', scenes), ('lost', tmp_path / 'nowhere')):
        cfg.train_dataloader.dataset.data_root = f'{root}/'
        cfg.train_dataloader.dataset.pipeline = [
            step for step in cfg.train_dataloader.dataset.pipeline if step['type'] != 'RandomApply'
        ]
        cfg.val_evaluator = cfg.test_evaluator = [dict(type='mmyolor_mtl.SemanticMetric')]
        cfg.dump(tmp_path / f'{name}.py')
    command = [sys.executable, str(repo_root / 'tools/analysis_tools/run_ablation.py'), 'all.py', 'lost.py']
    command += ['--seeds', '0', '1', '--work-dir', 'out', '--steps', '2', '--rounds', '1', '--jobs', '2']
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=600)
    assert done.returncode == 1 and 'nowhere' in done.stderr, done.stderr[-3000:]
    variants = json.loads((tmp_path / 'out/ablation.json').read_text())['variants']
    assert variants['all']['metrics']['sem/mIoU']['n'] == 2 and not variants['lost']['metrics']
    assert [record['seed'] for record in variants['all']['runs']] == [0, 1]
    seconds, cpu = (variants['all']['cost'][key] for key in ('step_seconds', 'step_cpu_seconds'))
    assert 0 < cpu < 2 * seconds and 'step_seconds' not in variants['lost']['cost']
    assert variants['all']['runs'][0]['metrics'] != variants['all']['runs'][1]['metrics']  # the seed arrives
