"""What a check found: errors that stop a training, and warnings that say what will be left out or altered."""

import logging
from collections import Counter
from typing import NamedTuple

from mmengine.logging import print_log

_SHOWN = 5


class Problem(NamedTuple):
    """One finding.

    Attributes:
        kind: Short name of its kind, equal for all findings of the kind.
        text: What is wrong; names file, id and value.
    """

    kind: str
    text: str


class Problems:
    """Collects what is wrong with a data set and raises it as one error.

    Args:
        source (str): What is being checked, for the headline.

    Attributes:
        found: Errors; training on such data is refused.
        warnings: What is harmless because it is left out or corrected on loading.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.found: list[Problem] = []
        self.warnings: list[Problem] = []

    def add(self, text: str, kind: str = 'other') -> None:
        """Note an error; the text names the file and the id."""
        self.found.append(Problem(kind, text))

    def warn(self, text: str, kind: str = 'other') -> None:
        """Note a warning; the text names the file and the id."""
        self.warnings.append(Problem(kind, text))

    def raise_if_any(self) -> None:
        """Log a summary of the warnings and raise the errors.

        Raises:
            ValueError: Lists the first errors, how many there are, and what to do.
        """
        if self.warnings:
            print_log(self._summary_of_warnings(), logger='current', level=logging.WARNING)
        if not self.found:
            return
        lines = [f'  - {text}' for _, text in self.found[:_SHOWN]]
        if len(self.found) > _SHOWN:
            lines.append(f'  ... and {len(self.found) - _SHOWN} more')
        raise ValueError(
            f'{self.source}: {len(self.found)} problem(s) in the data\n' + '\n'.join(lines) + '\nCorrect or remove '
            'these entries; tools/dataset_converters/check_data.py lists all of them, and with --fix writes repaired '
            "copies. With check='none' in the dataset's config nothing is checked: broken images are then skipped with "
            'a warning during training.'
        )

    def _summary_of_warnings(self) -> str:
        lines = [f'{self.source}: {len(self.warnings)} warning(s) about the data']
        for kind, texts in by_kind(self.warnings).items():
            lines.append(f'  - {kind}: {len(texts)}, such as {texts[0]}')
        return '\n'.join(lines)


def by_kind(problems: list[Problem]) -> dict[str, list[str]]:
    """Group findings.

    Returns:
        dict[str, list[str]]: Texts of each kind, the most frequent kind first.
    """
    counts = Counter(problem.kind for problem in problems)
    groups: dict[str, list[str]] = {kind: [] for kind, _ in counts.most_common()}
    for kind, text in problems:
        groups[kind].append(text)
    return groups
