"""Every relative link of the pages leads to a file, and every anchor to a heading; Sphinx builds the pages silently."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ('docs', 'configs', 'demo', 'docker', 'examples', 'tools', '.github')
LINK = re.compile(r'\]\((?!https?://|mailto:)([^)#\s]*)(#[^)\s]*)?\)')
DEEPEST_ANCHOR = 3  # myst_heading_anchors in docs/conf.py


def pages() -> list[Path]:
    """README.md and its like, and all pages below."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob('*.md')]
    return sorted([*ROOT.glob('*.md'), *(path for path in found if '_build' not in path.parts)])


def prose(path: Path) -> str:
    """A page without its code, in which brackets mean other things."""
    text = re.sub(r'^(```+|:::+).*?^\1$', '', path.read_text(encoding='utf-8'), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r'`[^`\n]+`', lambda code: code[0].replace('](', '] ('), text)


def anchors(path: Path) -> set[str]:
    """Anchors of the headings, as GitHub and MyST make them."""
    found: dict[str, int] = {}
    for marks, title in re.findall(r'^(#+) +(.+?) *$', prose(path), re.MULTILINE):
        if len(marks) > DEEPEST_ANCHOR:
            continue
        title = re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', title).lower()
        slug = re.sub(r'[^\w\- ]', '', title).replace(' ', '-')
        found[slug] = found.get(slug, -1) + 1
    return {f'#{slug}-{i}' if i else f'#{slug}' for slug, count in found.items() for i in range(count + 1)}


def broken(page: Path) -> list[str]:
    """Links of a page that lead nowhere."""
    found = []
    for target, anchor in LINK.findall(prose(page)):
        path = (page.parent / target) if target else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            found.append(f'{target}{anchor}')
    return found


@pytest.mark.parametrize('page', pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert not broken(page)


def test_what_is_broken_is_found(tmp_path):
    other = ['# A heading, with `code`', '## Twice', '## Twice', '```shell\n# no heading\n```', '#### Deep', '']
    (tmp_path / 'other.md').write_text('\n\n'.join(other))
    page = tmp_path / 'page.md'
    good = '[a](other.md) [b](other.md#a-heading-with-code) [c](other.md#twice-1) [d](#here) [e](https://x.org/y.md)'
    page.write_text(f'# Here\n\n{good} `masks[0](x)`\n\n```python\nfunctions[0](gone)\n```\n')
    assert broken(page) == []
    bad = '[a](gone.md) [b](other.md#twice-2) [c](#gone) [`d`](other.md#no-heading) [e](other.md#deep)'
    page.write_text(f'# Here\n\n{bad}\n')
    assert broken(page) == ['gone.md', 'other.md#twice-2', '#gone', 'other.md#no-heading', 'other.md#deep']


def test_pages_are_where_the_index_looks():
    index = (ROOT / 'docs/index.md').read_text(encoding='utf-8')
    for folder in {path.parent for path in (ROOT / 'docs').rglob('*.md') if '_build' not in path.parts}:
        name = folder.relative_to(ROOT / 'docs').as_posix()
        assert name == '.' or f'\n{name}/*\n' in index, f'docs/index.md has no toctree for docs/{name}'


@pytest.mark.slow
def test_sphinx_has_nothing_to_complain_about(tmp_path):
    command = [sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q', '-b', 'html', 'docs', f'{tmp_path}/html']
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    assert (tmp_path / 'html/index.html').is_file()
