"""Entry of the set-up: looks for a Python that fits, then hands over.

This file alone must run on any Python 3, old ones included, so that a wrong one gets a sentence and not a SyntaxError.
"""

import os
import platform
import subprocess
import sys

OLDEST, NEWEST = (3, 10), (3, 12)
OTHERS = ('python3.12', 'python3.11', 'python3.10')


def problem(version, implementation):
    """Return why this interpreter will not do, or an empty string."""
    if implementation != 'CPython':
        return '%s instead of CPython' % implementation
    if not OLDEST <= tuple(version[:2]) <= NEWEST:
        return 'Python %d.%d' % tuple(version[:2])
    return ''


def find_other():
    """Return the first command of ``OTHERS`` that starts and is what its name says, or an empty string."""
    for name in OTHERS:
        code = 'import sys; sys.exit("python%d.%d" % sys.version_info[:2] != ' + repr(name) + ')'
        try:
            if subprocess.call([name, '-c', code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0:
                return name
        except OSError:
            continue
    return ''


def run():
    """Check the interpreter, then run the set-up in it or in one that fits."""
    why = problem(sys.version_info, platform.python_implementation())
    if why:
        named = '--python-named' in sys.argv
        other = '' if named else find_other()
        if other:
            print('setup: %s is %s; using %s' % (sys.executable, why, other))
            sys.stdout.flush()
            os.execvp(other, [other, os.path.dirname(os.path.abspath(__file__))] + sys.argv[1:])
        sys.stderr.write(
            'error: %s is %s, but CPython 3.10, 3.11 or 3.12 is needed.\n'
            'Install one of them and name it: make PYTHON=python3.11 ...\n' % (sys.executable, why)
        )
        return 1
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from setup_env.main import main

    return main(sys.argv[1:])


if __name__ == '__main__':
    sys.exit(run())
