import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmyolor_mtl.utils import compat

ONEDL = {
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmdetection': '3.5.1',
    'onedl-mmsegmentation': '1.4.2',
}
UPSTREAM = {'mmengine': '0.10.7', 'mmcv': '2.1.0', 'mmdet': '3.3.0', 'mmsegmentation': '1.2.2'}


@pytest.fixture
def with_ops(tmp_path):
    (tmp_path / '_ext.cpython-311.so').touch()
    return lambda name: SimpleNamespace(submodule_search_locations=[str(tmp_path)])


@pytest.mark.parametrize('stack', [ONEDL, UPSTREAM, {**ONEDL, 'onedl-mmcv': '2.3.6+cu128'}])
def test_complete_stacks_are_fine(stack, with_ops):
    assert compat.find_problems(stack.get, with_ops) == []


def test_this_environment_is_fine():
    assert compat.find_problems() == []


def test_both_stacks_at_once(with_ops):
    (problem,) = compat.find_problems({**ONEDL, 'mmengine': '0.10.7'}.get, with_ops)
    assert 'overwrite each other' in problem and 'pip uninstall -y mmengine' in problem


def test_both_stacks_in_one_environment(tmp_path):
    """Told where the package is imported, by what pip leaves of a distribution."""
    (other,) = [name for name in ('onedl-mmengine', 'mmengine') if compat.installed_version(name) is None]
    folder = tmp_path / f'{other.replace("-", "_")}-0.10.9.dist-info'
    folder.mkdir()
    (folder / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {other}\nVersion: 0.10.9\n')
    done = subprocess.run(
        [sys.executable, '-c', 'import mmyolor_mtl'],
        env={**os.environ, 'PYTHONPATH': f'{tmp_path}{os.pathsep}{Path(compat.__file__).parents[2]}'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert 'StackWarning' in done.stderr and 'pip uninstall -y mmengine' in done.stderr


def test_old_release(with_ops):
    (problem,) = compat.find_problems({**UPSTREAM, 'mmdet': '2.28.0'}.get, with_ops)
    assert 'mmdet 2.28.0 is older than 3.2.0' in problem


def test_version_that_is_no_version_is_let_pass(with_ops):
    assert compat.find_problems({**UPSTREAM, 'mmdet': 'my-fork'}.get, with_ops) == []


def test_nothing_installed():
    problems = compat.find_problems(lambda name: None, lambda name: None)
    assert len(problems) == 4 and 'mmseg is not installed (as onedl-mmsegmentation or mmsegmentation)' in problems[3]


def test_source_tree_without_metadata_is_let_pass(with_ops):
    assert compat.find_problems(lambda name: None, with_ops) == []


def test_mmcv_without_operators(tmp_path):
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    (problem,) = compat.find_problems(ONEDL.get, lambda name: spec)
    assert 'mmcv._ext' in problem and '--no-build-isolation' in problem


def test_one_message_names_both_stacks(monkeypatch):
    monkeypatch.setattr(compat, 'find_problems', lambda: ['mmdet is not installed.'])
    with pytest.raises(ImportError, match='(?s)mmdet is not installed.*onedl-mmcv.*mmcv<2.2'):
        compat.check_stack(strict=True)
    with pytest.warns(compat.StackWarning, match='mmdet is not installed'):
        compat.check_stack()


def test_where_nothing_is_installed_exported_networks_run(monkeypatch):
    monkeypatch.setattr(compat, 'is_deployment', lambda: True)
    monkeypatch.setattr(compat, 'find_problems', lambda: ['mmdet is not installed.'])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        compat.check_stack()
    with pytest.raises(ImportError, match='mmdet is not installed'):
        compat.check_stack(strict=True)


@pytest.mark.parametrize('module, expected', [(None, True), ('torch', False), ('mmcv', False), ('numpy', True)])
def test_a_deployment_has_neither_torch_nor_a_stack(module, expected):
    assert compat.is_deployment(lambda name: name if name == module else None) is expected


def test_no_message_without_a_problem(monkeypatch):
    monkeypatch.setattr(compat, 'find_problems', lambda: [])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        compat.check_stack()
        compat.check_stack(strict=True)


def test_import_is_cheap_and_makes_the_config_scope_known():
    code = (
        'import sys, mmyolor_mtl\n'
        'assert "torch" not in sys.modules and "mmdet" not in sys.modules\n'
        'from mmengine.config.utils import MODULE2PACKAGE\n'
        'assert MODULE2PACKAGE["mmyolor_mtl"] == "mmyolor_mtl"\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_training_state_loads_with_weights_only(tmp_path):
    import numpy as np
    from mmengine.config import ConfigDict
    from mmengine.logging import HistoryBuffer

    buffer = HistoryBuffer()
    buffer.update(1.5)
    state = {'log': buffer, 'scalar': np.float32(2.0), 'count': np.int64(3), 'meta': ConfigDict(classes=dict(dog=1))}
    torch.save(state, tmp_path / 'epoch_1.pth')
    before = torch.serialization.get_safe_globals()
    try:
        torch.serialization.clear_safe_globals()
        with pytest.raises(Exception, match='[Ww]eights.only'):
            torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
        compat.register_safe_globals()
        loaded = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)
    assert loaded['log'].current() == 1.5 and loaded['scalar'] == 2.0 and loaded['count'] == 3
    assert loaded['meta'].classes == {'dog': 1}


def test_whoever_uses_a_registry_can_load_checkpoints(tmp_path):
    code = (
        'import torch, mmyolor_mtl.registry\n'
        'from mmengine.logging import HistoryBuffer\n'
        f'torch.save(HistoryBuffer([1.5], [2]), {str(tmp_path / "log.pth")!r})\n'
        f'assert torch.load({str(tmp_path / "log.pth")!r}, weights_only=True).mean() == 0.75\n'
    )
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True)


def test_register_all_modules_fills_the_registries():
    code = (
        'from mmyolor_mtl.utils import register_all_modules; register_all_modules()\n'
        'from mmengine.registry import DefaultScope\n'
        'assert DefaultScope.get_current_instance().scope_name == "mmdet"\n'
        'from mmyolor_mtl.registry import MODELS\n'
        'assert "YOLORMTL" in MODELS.module_dict\n'
    )
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True)
