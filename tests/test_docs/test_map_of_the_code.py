"""The map of the code in the contributing guide: every package is on it and imports only what it says."""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / 'mmyolor_mtl'
FREE = {'registry', 'version'}
ROW = re.compile(r'^\| `([\w/]+)` \| [^|]+ \| ([^|]*)\|$', re.MULTILINE)


def table():
    """What each package may import, by the guide."""
    text = (ROOT / 'docs/contributing.md').read_text().split('## The map of the code')[1].split('\n## ')[0]
    return {name: set(re.findall('`([^`]+)`', imports)) for name, imports in ROW.findall(text)}


def package_of(parts):
    """Name on the map of a dotted path below ``mmyolor_mtl``."""
    return '/'.join(parts[: 2 if parts[0] == 'models' else 1])


def imports_of(path):
    """Packages on the map that a module imports, wherever it does."""
    here = path.relative_to(PACKAGE).with_suffix('').parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            own = (node.module or '').split('.') if node.module else []
            if node.level:
                base = [*here[: -node.level], *own]
            elif own[0] == PACKAGE.name:
                base = own[1:]
            else:
                continue
            for parts in [base] if base else [[alias.name] for alias in node.names]:
                yield package_of(parts)


def test_imports_follow_the_arrows():
    found = defaultdict(set)
    for path in PACKAGE.rglob('*.py'):
        parts = path.relative_to(PACKAGE).with_suffix('').parts
        # The package itself, the registries and models/__init__.py import what registers; single files stand beside.
        if len(parts) > 1 and parts != ('models', '__init__') and parts != ('models', 'data_preprocessor'):
            found[package_of(parts)].update(imports_of(path))
    allowed = table()
    assert found.keys() == allowed.keys()
    excess = {name: sorted(seen - allowed[name] - FREE - {name}) for name, seen in found.items()}
    assert not {name: names for name, names in excess.items() if names}
    unused = {name: sorted(allowed[name] - seen) for name, seen in found.items()}
    assert not {name: names for name, names in unused.items() if names}


def test_places_for_new_things_exist():
    text = (ROOT / 'docs/contributing.md').read_text().split('## Where to add what')[1].split('\n## ')[0]
    places = re.findall(r'`((?:models|datasets|evaluation|engine)/[\w/]+?)(?:/NAME\.py)?`', text)
    assert len(places) > 8 and all((PACKAGE / place).is_dir() for place in places), places


def test_every_package_has_a_page_in_the_reference():
    packages = {path.parent.name for path in PACKAGE.glob('*/__init__.py')}
    pages = {path.stem: path.read_text() for path in (ROOT / 'docs/api').glob('*.md')}
    assert pages.keys() == packages
    named = {name for text in pages.values() for name in re.findall(r'automodule:: mmyolor_mtl\.([\w.]+)', text)}
    inner = {'.'.join(path.parent.relative_to(PACKAGE).parts) for path in PACKAGE.glob('*/*/__init__.py')}
    # Blocks of networks, and what evaluation and engine export themselves.
    assert inner - named <= {'models.layers', 'evaluation.metrics'}
