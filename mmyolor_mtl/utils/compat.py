"""The two package stacks that the plugin runs on: what is there, what is missing, what to do about it.

Nothing here imports torch before a function that needs it is called: ``import mmyolor_mtl`` stays cheap.
"""

import importlib.util
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# module -> (distribution of the maintained builds, its oldest version, upstream's distribution, its oldest version)
STACKS = {
    'mmengine': ('onedl-mmengine', '0.10.8', 'mmengine', '0.10.5'),
    'mmcv': ('onedl-mmcv', '2.3.0', 'mmcv', '2.0.0'),
    'mmdet': ('onedl-mmdetection', '3.5.0', 'mmdet', '3.2.0'),
    'mmseg': ('onedl-mmsegmentation', '1.4.0', 'mmsegmentation', '1.2.0'),
}

HOW_TO_INSTALL = """Install one of the two stacks, after torch and into an environment without the other:
  maintained builds: pip install ninja psutil packaging wheel "setuptools>=80"
                     CFLAGS="-g0 -O1" pip install --no-build-isolation onedl-mmengine onedl-mmcv onedl-mmdetection \
onedl-mmsegmentation
  upstream:          pip install ninja psutil packaging wheel "setuptools<81" ftfy regex
                     MMCV_WITH_OPS=1 CFLAGS="-g0 -O1" pip install --no-build-isolation mmengine "mmcv<2.2" mmdet \
mmsegmentation
In a checkout, make setup (or make setup STACK=openmmlab) does it all."""


class StackWarning(UserWarning):
    """The installed packages may not work together."""


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def find_problems(
    get_version: Callable[[str], str | None] = installed_version,
    find_spec: Callable = importlib.util.find_spec,
) -> list[str]:
    """Look at the installed distributions, without importing them.

    Args:
        get_version: Name of a distribution -> its version or None.
        find_spec: Name of a module -> its spec or None.

    Returns:
        One sentence a problem; empty if a complete stack of sufficient versions is there.
    """
    problems = []
    both = []
    for module, (onedl, onedl_oldest, upstream, upstream_oldest) in STACKS.items():
        found = {name: get_version(name) for name in (onedl, upstream)}
        if all(found.values()):
            both.append(upstream)
        for name, oldest in ((onedl, onedl_oldest), (upstream, upstream_oldest)):
            if _is_older(found[name], oldest):
                problems.append(f'{name} {found[name]} is older than {oldest}, the oldest release that is supported.')
        # A module without metadata (a source tree on the path) is taken on trust.
        if not any(found.values()) and find_spec(module) is None:
            problems.append(f'{module} is not installed (as {onedl} or {upstream}).')
    if both:
        names = ' '.join(both)
        problems.append(
            f'{", ".join(both)} and the onedl- builds of the same are both installed and overwrite each other. Remove '
            f'one stack, then install the other again: pip uninstall -y {names}'
        )
    spec = find_spec('mmcv')
    if spec is not None and not _has_ops(spec.submodule_search_locations or ()):
        problems.append(
            'mmcv lacks its compiled operators (mmcv._ext): it was built without torch in reach, as pip does unless '
            'it is told --no-build-isolation, or it is mmcv-lite. Uninstall it first.'
        )
    return problems


def _is_older(found: str | None, oldest: str) -> bool:
    if found is None:
        return False
    from packaging.version import InvalidVersion, Version

    try:
        return Version(found) < Version(oldest)
    except InvalidVersion:
        return False


def _has_ops(folders: object) -> bool:
    return any(next(Path(folder).glob('_ext.*'), None) is not None for folder in folders)  # type: ignore[attr-defined]


def is_deployment(find_spec: Callable = importlib.util.find_spec) -> bool:
    """Whether nothing is installed that a network is trained with, neither torch nor any part of a stack."""
    return not any(find_spec(module) is not None for module in ('torch', *STACKS))


def check_stack(strict: bool = False) -> None:
    """Say what is wrong with the installed stack, if anything, and how to mend it.

    Where neither torch nor any part of a stack is installed, exported networks run (see :mod:`mmyolor_mtl.deploy`):
    nothing is missing then.

    Args:
        strict: Raise instead of warning, there too.

    Raises:
        ImportError: if ``strict`` and there is a problem.
    """
    if not strict and is_deployment():
        return
    problems = find_problems()
    if not problems:
        return
    message = 'mmyolor_mtl: ' + '\n  '.join(problems) + '\n' + HOW_TO_INSTALL
    if strict:
        raise ImportError(message)
    warnings.warn(message, StackWarning, stacklevel=3)


def register_config_scope() -> None:
    """Let mmengine resolve ``mmyolor_mtl::path/of/config.py`` and model names of this package.

    mmengine knows packages by a table; ours is not in it. Does nothing without mmengine.
    """
    try:
        from mmengine.config.utils import MODULE2PACKAGE
    except ImportError:
        return
    MODULE2PACKAGE.setdefault('mmyolor_mtl', 'mmyolor_mtl')


def register_safe_globals() -> None:
    """Let ``torch.load(weights_only=True)`` read the training state in checkpoints that mmengine writes.

    Upstream mmengine calls ``torch.load`` with its default, which since torch 2.6 refuses the log history and the
    pieces of config that a checkpoint carries. Importing :mod:`mmyolor_mtl.registry` calls this, as every part of the
    package does. Load only checkpoints that you trust: the history's pickle needs ``getattr``.
    """
    import numpy as np
    import torch
    from mmengine.config import ConfigDict
    from mmengine.logging import HistoryBuffer

    if not hasattr(torch.serialization, 'add_safe_globals'):  # before torch 2.4 nothing is refused
        return
    core = np._core if hasattr(np, '_core') else np.core
    dtypes = {type(np.dtype(kind)) for kind in ('bool', 'int32', 'int64', 'uint8', 'uint32', 'float32', 'float64')}
    arrays = [core.multiarray._reconstruct, core.multiarray.scalar, np.ndarray, np.dtype, *dtypes]
    torch.serialization.add_safe_globals([ConfigDict, HistoryBuffer, getattr, slice, *arrays])


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import everything of mmyolor_mtl that registers itself.

    Args:
        init_default_scope: Make ``mmdet``, which our configs are written for, mmengine's current default scope.
    """
    for name in ('models', 'datasets', 'evaluation', 'engine', 'visualization', 'apis'):
        importlib.import_module(f'mmyolor_mtl.{name}')
    register_config_scope()
    if init_default_scope:
        from mmdet.utils import register_all_modules as register_mmdet

        register_mmdet(init_default_scope=True)
