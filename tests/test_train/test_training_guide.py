"""The blocks of 'Resume', 'When something goes wrong' and of the back ends in the training guide."""

import shlex

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from tests.test_docs.guides import blocks
from tests.test_tools.test_train_and_test import load

from .conftest import ROOT, tiny_config

PAGE = ROOT / 'docs/user_guides/training.md'
SECTIONS = ('Resume', 'When something goes wrong')


@pytest.fixture
def sections(tmp_path):
    """A page with these sections alone."""
    parts = PAGE.read_text().split('\n## ')
    page = tmp_path / 'page.md'
    page.write_text('\n'.join(part for part in parts if part.startswith(SECTIONS)))
    return page


def test_commands_run_as_they_stand(sections, scenes, tmp_path):
    tool = load(ROOT, 'train')
    tiny_config(scenes, tmp_path / 'run', max_epochs=1).dump(tmp_path / 'job.py')
    commands = [command for block in blocks(sections, 'shell') for command in block.strip().split(' && ')]
    assert len(commands) == 3 and {'--resume', '--dry-run'} <= set(' '.join(commands).split())
    for command in commands:
        python, script, config, *arguments = shlex.split(command)
        assert (python, script, config) == ('python', 'tools/train.py', 'CONFIG')
        tool.main([str(tmp_path / 'job.py'), *arguments])
    assert (tmp_path / 'run/last_checkpoint').read_text().endswith('epoch_1.pth')


def test_settings_are_understood(sections, scenes, tmp_path):
    texts = [*blocks(sections, 'python'), *(text for text in blocks(PAGE, 'python') if 'vis_backends' in text)]
    assert len(texts) == 3
    cfg = tiny_config(scenes, tmp_path)
    for text in texts:
        cfg.merge_from_dict(Config.fromstring(text, '.py')._cfg_dict)
    hooks = {type(hook).__name__: hook for hook in Runner.from_cfg(cfg).hooks}
    assert hooks['NonFiniteGuardHook'].max_skips == 0
    checkpoint = hooks['MTLCheckpointHook']
    assert (
        checkpoint.key_indicators == ['coco/segm_mAP', 'weighted_sum'] and checkpoint.best_weights['cap/CIDEr'] == 0.5
    )
    assert not checkpoint.by_epoch and checkpoint.interval == 1000
