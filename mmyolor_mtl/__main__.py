"""``python -m mmyolor_mtl train|test CONFIG ...``: the scripts of ``tools/``, wherever the package is installed."""

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

COMMANDS = ('train', 'test')
USAGE = f"""usage: python -m mmyolor_mtl {{{','.join(COMMANDS)}}} CONFIG ...

CONFIG is a path, or the name of a config that comes with the package, such as
yolor-mtl_elan_det-ins-sem-cap_8xb8-300e_coco. python -m mmyolor_mtl train -h lists the arguments.
"""


def content_root() -> Path:
    """Return the folder that holds ``tools`` and ``configs``: ``.mim`` of a wheel, else the checkout.

    Raises:
        FileNotFoundError: if neither is there.
    """
    package = Path(__file__).resolve().parent
    for root in (package / '.mim', package.parent):
        if (root / 'tools' / 'train.py').is_file():
            return root
    raise FileNotFoundError(f'no tools/train.py beside {package} nor in {package / ".mim"}: the install is incomplete')


def find_config(root: Path, name: str) -> str:
    """Return ``name`` if it is a file, else the config of that name that comes with the package.

    Raises:
        FileNotFoundError: if there is no such config; names those that resemble it.
    """
    if Path(name).is_file():
        return name
    known = {path.stem: path for path in sorted((root / 'configs').rglob('*.py')) if '_base_' not in path.parts}
    stem = Path(name).name.removesuffix('.py')
    if stem in known:
        return str(known[stem])
    import difflib

    close = difflib.get_close_matches(stem, known, n=3, cutoff=0.4) or sorted(known)
    raise FileNotFoundError(f'there is no config {name}; did you mean one of: {", ".join(close)}')


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the tools and return the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] not in COMMANDS:
        asked = bool(arguments) and arguments[0] in ('-h', '--help')
        print(USAGE, end='', file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    command, *rest = arguments
    try:
        root = content_root()
        if rest and not rest[0].startswith('-'):
            rest[0] = find_config(root, rest[0])
    except FileNotFoundError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    script = str(root / 'tools' / f'{command}.py')
    sys.argv = [script, *rest]
    runpy.run_path(script, run_name='__main__')
    return 0


if __name__ == '__main__':
    sys.exit(main())
