"""The command lines of tools/train.py and tools/test.py, without training anything."""

import importlib.util
import os
import subprocess
import sys

import pytest
from mmengine.config import Config


def load(repo_root, name):
    spec = importlib.util.spec_from_file_location(f'tools_{name}', repo_root / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def train(repo_root):
    return load(repo_root, 'train')


@pytest.fixture
def evaluate(repo_root):
    return load(repo_root, 'test')


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'toy.py').write_text(
        'optim_wrapper = dict(type="OptimWrapper")\n'
        'default_hooks = dict(visualization=dict(type="DetVisualizationHook"))\n'
        'visualizer = dict()\n'
    )
    (tmp_path / 'toy.pth').touch()
    return 'toy.py'


class FakeRunner:
    """Stands for MMEngine's runner and keeps what it was built from."""

    def __init__(self, cfg):
        self.cfg = cfg
        self.calls = []
        self.test_evaluator = type('Evaluator', (), {'metrics': []})()

    def train(self):
        self.calls.append('train')

    def test(self):
        self.calls.append('test')


@pytest.fixture
def built(monkeypatch, train, evaluate):
    runners = []

    def build(cfg):
        runners.append(FakeRunner(cfg))
        return runners[-1]

    monkeypatch.setattr(train, 'build_runner', build)
    monkeypatch.setattr(evaluate, 'build_runner', build)
    return runners


@pytest.mark.parametrize('name', ['train', 'test'])
def test_help_lists_mmdets_arguments_and_no_gpus(repo_root, name):
    text = load(repo_root, name).build_parser().format_help()
    shared = ('--work-dir', '--cfg-options', '--launcher', '--local_rank', '--local-rank')
    own = {
        'train': ('--amp', '--auto-scale-lr', '--resume'),
        'test': ('--out', '--show', '--show-dir', '--wait-time', '--tta', '--metrics', '--per-class', '--results'),
    }
    assert all(argument in text for argument in shared + own[name])
    assert '--gpus' not in text  # mim would then pass it


@pytest.mark.parametrize('name', ['train', 'test'])
def test_every_argument_of_mmdet_is_there(repo_root, name):
    mmdet = pytest.importorskip('mmdet')
    script = os.path.join(mmdet.__path__[0], '.mim', 'tools', f'{name}.py')
    if not os.path.isfile(script):
        pytest.skip('this mmdet came without its tools')
    import re

    with open(script) as file:
        theirs = set(re.findall(r"'(--[a-z-]+)'", file.read()))
    ours = set(load(repo_root, name).build_parser()._option_string_actions)
    assert theirs and theirs <= ours


def test_train_plain(train, built, config):
    train.main([config])
    assert built[0].calls == ['train']
    assert built[0].cfg.work_dir == 'work_dirs/toy' and 'resume' not in built[0].cfg


def test_train_amp(train, built, config):
    train.main([config, '--amp'])
    assert built[0].cfg.optim_wrapper == dict(type='AmpOptimWrapper', loss_scale='dynamic')


def test_train_amp_leaves_the_precision_of_a_config(train):
    args = train.build_parser().parse_args(['toy.py', '--amp'])
    cfg = Config(dict(optim_wrapper=dict(type='mmyolor_mtl.MTLAmpOptimWrapper', dtype='bfloat16')))
    train.apply_training_arguments(cfg, args)
    assert cfg.optim_wrapper == dict(type='mmyolor_mtl.MTLAmpOptimWrapper', dtype='bfloat16')


@pytest.mark.parametrize(('arguments', 'source'), [(['--resume'], None), (['--resume', 'epoch_3.pth'], 'epoch_3.pth')])
def test_train_resume(train, built, config, arguments, source):
    train.main([config, *arguments])
    assert built[0].cfg.resume is True and built[0].cfg.load_from == source


def test_auto_scale_lr(train):
    args = train.build_parser().parse_args(['toy.py', '--auto-scale-lr'])
    cfg = Config(dict(auto_scale_lr=dict(enable=False, base_batch_size=64)))
    train.apply_training_arguments(cfg, args)
    assert cfg.auto_scale_lr.enable is True
    with pytest.raises(ValueError, match='toy.py lacks auto_scale_lr.base_batch_size'):
        train.apply_training_arguments(Config(dict(auto_scale_lr=dict(enable=False))), args)


def test_test_plain(evaluate, built, config):
    evaluate.main([config, 'toy.pth'])
    assert built[0].calls == ['test'] and built[0].cfg.load_from == 'toy.pth'
    assert built[0].test_evaluator.metrics == []


def test_test_out_dumps_predictions(evaluate, built, config):
    evaluate.main([config, 'toy.pth', '--out', 'all.pkl'])
    assert built[0].test_evaluator.metrics[0].out_file_path == 'all.pkl'


@pytest.fixture
def metrics():
    from mmdet.evaluation import CocoMetric

    from mmyolor_mtl.evaluation import CaptionMetric, SemanticMetric

    return [CocoMetric(), SemanticMetric(), CaptionMetric()]


def test_metrics_are_chosen_and_switched(evaluate, metrics):
    def apply(*arguments):
        args = evaluate.build_parser().parse_args(['toy.py', 'toy.pth', *arguments])
        return evaluate.apply_metric_arguments(metrics, args)

    assert apply() == metrics and metrics[1].outfile_prefix is None and not metrics[1].per_class
    assert apply('--metrics', 'cap', 'sem') == metrics[1:]
    assert apply('--per-class', '--results', 'out/all') == metrics
    assert [metric.outfile_prefix for metric in metrics] == ['out/all'] * 3 and metrics[1].per_class
    with pytest.raises(ValueError, match='--metrics pan: toy.py has coco sem cap'):
        apply('--metrics', 'pan')


def test_test_show_dir_switches_the_hook_on(evaluate, built, config):
    evaluate.main([config, 'toy.pth', '--show-dir', 'pictures'])
    hook = built[0].cfg.default_hooks.visualization
    assert hook.draw is True and hook.test_out_dir == 'pictures'


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['toy.pth', '--tta'], 'no sound way to merge'),
        (['toy.pth', '--out', 'all.json'], 'must end in .pkl'),
        (['missing.pth'], 'there is no checkpoint missing.pth'),
    ],
)
def test_test_refuses_before_building_anything(evaluate, built, config, capsys, arguments, words):
    with pytest.raises(SystemExit):
        evaluate.main([config, *arguments])
    assert words in capsys.readouterr().err and not built


@pytest.mark.parametrize(('name', 'files'), [('train', ['a config.py']), ('test', ['a config.py', 'b.pth'])])
def test_dist_scripts_pass_everything_on(repo_root, tmp_path, name, files):
    script = f'dist_{name}.sh'
    fake = tmp_path / 'python'
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$PYTHONPATH" "$@"\n')
    fake.chmod(0o755)
    variables = {**os.environ, 'PYTHON': str(fake), 'PORT': '29512', 'PYTHONPATH': ''}
    command = ['bash', str(repo_root / 'tools' / script), *files, '4', '--cfg-options', 'a=b c']
    lines = subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0] == str(repo_root)
    assert '--nproc_per_node=4' in lines and '--master_port=29512' in lines
    start = lines.index(str(repo_root / 'tools' / f'{name}.py'))
    assert lines[start + 1 :] == [*files, '--launcher', 'pytorch', '--cfg-options', 'a=b c']
    usage = subprocess.run(['bash', str(repo_root / 'tools' / script)], capture_output=True, text=True)
    assert usage.returncode == 2 and 'usage:' in usage.stderr


def test_scripts_run_as_files(repo_root):
    done = subprocess.run([sys.executable, str(repo_root / 'tools' / 'train.py'), '-h'], capture_output=True, text=True)
    assert done.returncode == 0 and '--resume' in done.stdout
