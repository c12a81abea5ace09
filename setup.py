"""Packaging of mmyolor_mtl. The mm* packages are extras on purpose: pip does not know that the two stacks conflict."""

import shutil
import tempfile
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
EXTRAS = ('onedl', 'mim', 'tests', 'lint', 'docs', 'optional', 'export', 'openvino')
MIM_CONTENT = ('configs', 'demo', 'tools', 'model-index.yml')


def requirements(name: str) -> list[str]:
    """Return the requirements listed in ``requirements/NAME.txt``."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


def add_mim_extension(package: Path) -> None:
    """Copy what mim looks for into ``<package>/.mim``.

    Never into the checkout: an editable install has the originals, and mim, which finds a config by its file name,
    would find each of them twice.
    """
    skip = shutil.ignore_patterns('__pycache__', '*.pyc', 'work_dirs')
    for name in MIM_CONTENT:
        source, target = ROOT / name, package / '.mim' / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=skip, dirs_exist_ok=True)
        elif source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


class BuildPy(build_py):
    """Adds ``.mim`` to what goes into a wheel, but not to an editable one."""

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if not getattr(self, 'editable_mode', False):
            add_mim_extension(Path(self.build_lib, 'mmyolor_mtl'))


class SDist(sdist):
    """Adds ``.mim`` to the source archive as well: ``mim search --remote`` reads it there."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Collect the release, then copy."""
        super().make_release_tree(base_dir, files)
        add_mim_extension(Path(base_dir, 'mmyolor_mtl'))


def read_version() -> str:
    """Return ``__version__`` without importing the package."""
    names: dict[str, str] = {}
    exec((ROOT / 'mmyolor_mtl' / 'version.py').read_text(), names)
    return names['__version__']


# A build folder in the checkout would hold a second copy of every config (see add_mim_extension).
with tempfile.TemporaryDirectory() as build_base:
    setup(
        name='mmyolor-mtl',
        version=read_version(),
        description='One YOLOR-based network for boxes, masks, semantic segmentation and captions, in MMDetection',
        long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
        long_description_content_type='text/markdown',
        url='https://arxiv.org/abs/2309.16921',
        license='Apache-2.0',
        classifiers=[
            'Development Status :: 3 - Alpha',
            'Intended Audience :: Science/Research',
            'Operating System :: POSIX :: Linux',
            'Programming Language :: Python :: 3.10',
            'Programming Language :: Python :: 3.11',
            'Programming Language :: Python :: 3.12',
            'Topic :: Scientific/Engineering :: Image Recognition',
        ],
        python_requires='>=3.10',
        packages=find_packages(include=['mmyolor_mtl', 'mmyolor_mtl.*']),
        include_package_data=True,
        zip_safe=False,
        install_requires=requirements('runtime'),
        extras_require={name: requirements(name) for name in EXTRAS},
        cmdclass={'build_py': BuildPy, 'sdist': SDist},
        options={'build': {'build_base': build_base}},
    )
