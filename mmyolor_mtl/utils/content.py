"""Where an install keeps the configs and tools that come with the package."""

import difflib
from pathlib import Path


def content_root() -> Path:
    """Return the folder that holds ``tools`` and ``configs``: ``.mim`` of a wheel, else the checkout.

    Raises:
        FileNotFoundError: if neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for root in (package / '.mim', package.parent):
        if (root / 'tools' / 'train.py').is_file():
            return root
    raise FileNotFoundError(f'no tools/train.py beside {package} nor in {package / ".mim"}: the install is incomplete')


def find_config(root: Path, name: str) -> str:
    """Return ``name`` if it is a file, else the config of that name that comes with the package.

    Raises:
        FileNotFoundError: if there is no such config; names those that resemble it, or their folder.
    """
    if Path(name).is_file():
        return name
    known = {path.stem: path for path in sorted((root / 'configs').rglob('*.py')) if '_base_' not in path.parts}
    stem = Path(name).name.removesuffix('.py')
    if stem in known:
        return str(known[stem])
    close = difflib.get_close_matches(stem, known, n=3, cutoff=0.4)
    hint = f'did you mean one of: {", ".join(close)}' if close else f'those of the package are in {root / "configs"}'
    raise FileNotFoundError(f'there is no config {name}; {hint}')
