"""The two sets of OpenMMLab packages that the plugin runs on, as tested versions."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stack:
    """Pinned packages of one environment.

    Attributes:
        name: Value of ``STACK=``.
        build_tools: What must be there before mmcv is compiled.
        mmcv: The requirement that carries compiled operators.
        mmcv_env: Environment variables that its build needs.
        packages: Everything else from the same family.
    """

    name: str
    build_tools: tuple[str, ...]
    mmcv: str
    packages: tuple[str, ...]
    mmcv_env: dict[str, str] = field(default_factory=dict)


# torch is needed at build time by mmcv and mmdet, ninja makes the build parallel and reports its progress.
_BUILD_TOOLS = ('pip', 'wheel', 'ninja', 'psutil', 'packaging')

STACKS = {
    'onedl': Stack(
        name='onedl',
        build_tools=(*_BUILD_TOOLS, 'setuptools>=80'),
        mmcv='onedl-mmcv==2.3.6',
        packages=('onedl-mmengine==0.10.12', 'onedl-mmdetection==3.5.1', 'onedl-mmsegmentation==1.4.2'),
    ),
    'openmmlab': Stack(
        name='openmmlab',
        # mmengine and mmcv import pkg_resources, which newer setuptools no longer carry.
        build_tools=(*_BUILD_TOOLS, 'setuptools<81'),
        mmcv='mmcv==2.1.0',
        # ftfy and regex: mmseg imports them without declaring them.
        packages=('mmengine==0.10.7', 'mmdet==3.3.0', 'mmsegmentation==1.2.2', 'ftfy', 'regex', 'setuptools<81'),
        mmcv_env={'MMCV_WITH_OPS': '1'},
    ),
}

DEFAULT_TORCH = 'torch==2.13.0'
