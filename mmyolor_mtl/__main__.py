"""``python -m mmyolor_mtl train|test CONFIG ...``: the scripts of ``tools/``, wherever the package is installed."""

import runpy
import sys
from collections.abc import Sequence

from mmyolor_mtl.utils.content import content_root, find_config

COMMANDS = ('train', 'test')
USAGE = f"""usage: python -m mmyolor_mtl {{{','.join(COMMANDS)}}} CONFIG ...

CONFIG is a path, or the name of a config that comes with the package, such as
yolor-mtl_elan_det-ins-sem-cap_8xb8-300e_coco. python -m mmyolor_mtl train -h lists the arguments.
"""


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
