import argparse

import pytest
import torch
from mmengine.config import Config

from mmyolor_mtl.utils import cli


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    cli.add_common_arguments(parser)
    return parser


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'toy.py'
    path.write_text('model = dict(type="Toy", depth=1)\n')
    return path


def test_missing_config_is_named(parser, capsys):
    with pytest.raises(SystemExit):
        cli.parse_arguments(parser, ['no/such.py'])
    assert 'there is no config no/such.py' in capsys.readouterr().err


def test_configs_of_the_package_are_known_by_name(parser, repo_root):
    args = cli.parse_arguments(parser, ['yolov7-af'])
    assert args.config == str(repo_root / 'configs/reference/yolov7-af.py')


@pytest.mark.parametrize('spelling', ['--local_rank', '--local-rank'])
def test_both_spellings_of_the_rank(parser, config, monkeypatch, spelling):
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    cli.parse_arguments(parser, [str(config), f'{spelling}=3'])
    assert cli.os.environ['LOCAL_RANK'] == '3'


def test_rank_of_the_launcher_wins(parser, config, monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '2')
    cli.parse_arguments(parser, [str(config)])
    assert cli.os.environ['LOCAL_RANK'] == '2'


@pytest.mark.parametrize(
    ('text', 'arguments', 'expected'),
    [('', [], 'work_dirs/toy'), ('work_dir = "a"\n', [], 'a'), ('work_dir = "a"\n', ['--work-dir', 'b'], 'b')],
)
def test_work_folder(parser, config, text, arguments, expected):
    config.write_text(config.read_text() + text)
    assert cli.load_config(cli.parse_arguments(parser, [str(config), *arguments])).work_dir == expected


def test_cfg_options_override(parser, config):
    args = cli.parse_arguments(parser, [str(config), '--cfg-options', 'model.depth=3', 'model.sizes=[1,2]'])
    cfg = cli.load_config(args)
    assert cfg.model.depth == 3 and cfg.model.sizes == [1, 2] and cfg.launcher == 'none'


def test_unusable_stack_is_said_before_the_config_is_read(parser, config, monkeypatch):
    def fail(strict):
        raise ImportError('no mmdet')

    monkeypatch.setattr(cli, 'check_stack', fail)
    with pytest.raises(ImportError, match='no mmdet'):
        cli.load_config(cli.parse_arguments(parser, [str(config)]))


def test_runners_round_tiny_numbers_to_zero_on_the_cpu(monkeypatch):
    from mmengine.runner import Runner

    monkeypatch.setattr(Runner, 'from_cfg', classmethod(lambda cls, cfg: torch.tensor([1e-30]) * 1e-10))
    torch.set_flush_denormal(False)
    try:
        assert Runner.from_cfg({}) > 0
        assert cli.build_runner(Config({})) == 0
    finally:
        torch.set_flush_denormal(False)


def test_runner_type_is_honoured(monkeypatch):
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    monkeypatch.setattr(Runner, 'from_cfg', classmethod(lambda cls, cfg: 'default'))
    monkeypatch.setattr(RUNNERS, 'build', lambda cfg: cfg.runner_type)
    assert cli.build_runner(Config({})) == 'default'
    assert cli.build_runner(Config({'runner_type': 'Mine'})) == 'Mine'


def test_processes_part_at_the_end():
    cli.leave_processes()  # one process: nothing to leave
    torch.distributed.init_process_group('gloo', store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        cli.leave_processes()
        assert not torch.distributed.is_initialized()
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
