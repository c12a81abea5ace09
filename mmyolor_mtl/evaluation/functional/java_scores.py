"""METEOR, SPICE and Stanford's tokenizer through ``pycocoevalcap``, which runs Java: all optional (spec 6.4)."""

import importlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from .ngrams import Tokens, check_captions

_SPICE_MODELS = 'stanford-corenlp-3.6.0-models.jar'


class JavaUnavailableError(RuntimeError):
    """Java, ``pycocoevalcap`` or a model file is missing; the message is one line that says how to get it."""


def java_tokenize(captions: Sequence[str]) -> list[list[str]]:
    """Tokenise captions with the official toolkit's own tokenizer, Stanford's PTB tokenizer in Java.

    Args:
        captions (Sequence[str]): Any number of captions; Java starts once for all of them.

    Returns:
        list[list[str]]: Lower-case tokens without punctuation, of each caption.

    Raises:
        JavaUnavailableError: Java or ``pycocoevalcap`` is missing, or Java fails.
    """
    module = _load('tokenizer.ptbtokenizer', "the tokenizer 'java'")
    if not captions:
        return []
    # A line break of any kind would shift all that follows: the toolkit passes one caption a line.
    entries = {i: [{'caption': ' '.join(caption.split())}] for i, caption in enumerate(captions)}
    try:
        tokens = module.PTBTokenizer().tokenize(entries)
        return [tokens[i][0].split() for i in entries]
    except (OSError, KeyError) as error:
        raise JavaUnavailableError(f"the tokenizer 'java' failed: {error!r}") from error


def meteor(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> tuple[float, np.ndarray]:
    """METEOR 1.5 (Denkowski and Lavie, 2014) of the set and of each image.

    Args:
        candidates (Sequence[Sequence[str]]): One tokenised caption an image.
        references (Sequence[Sequence[Sequence[str]]]): The tokenised references of each image, in the same order.

    Returns:
        tuple[float, np.ndarray]: The score of the set, from pooled counts, and (images,), in [0, 1].

    Raises:
        ValueError: No images, unequal counts, or an image without references.
        JavaUnavailableError: Java or ``pycocoevalcap`` is missing, or Java fails.
    """
    module = _load('meteor.meteor', 'METEOR')
    gts, res = _as_toolkit(candidates, references)
    try:
        scorer = module.Meteor()
        score, scores = scorer.compute_score(gts, res)
    except (OSError, ValueError) as error:
        raise JavaUnavailableError(f'METEOR failed: its Java process needs 2 GB of memory ({error!r})') from error
    return float(score), np.array(scores)


def spice(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> tuple[float, np.ndarray]:
    """SPICE (Anderson et al., ECCV 2016) of the set and of each image.

    Args:
        candidates (Sequence[Sequence[str]]): One tokenised caption an image.
        references (Sequence[Sequence[Sequence[str]]]): The tokenised references of each image, in the same order.

    Returns:
        tuple[float, np.ndarray]: The mean over the images, and (images,), in [0, 1]; NaN where it is undefined.

    Raises:
        ValueError: No images, unequal counts, or an image without references.
        JavaUnavailableError: Java, ``pycocoevalcap`` or the models are missing, or Java fails.
    """
    module = _load('spice.spice', 'SPICE')
    # Looked for here, because the toolkit would start a download of 400 MB.
    models = Path(str(module.__file__)).parent / 'lib' / _SPICE_MODELS
    if not models.is_file():
        raise JavaUnavailableError(
            f'SPICE needs {_SPICE_MODELS}: run "python -m pycocoevalcap.spice.get_stanford_models" with a network'
        )
    gts, res = _as_toolkit(candidates, references)
    try:
        score, scores = module.Spice().compute_score(gts, res)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise JavaUnavailableError(f'SPICE failed: it needs Java 8 and 8 GB of memory ({error!r})') from error
    return float(score), np.array([image['All']['f'] for image in scores])


def _load(name: str, wanted_by: str) -> ModuleType:
    try:
        module = importlib.import_module(f'pycocoevalcap.{name}')
    except ImportError as error:
        raise JavaUnavailableError(f'{wanted_by} needs pycocoevalcap: pip install pycocoevalcap') from error
    if shutil.which('java') is None:
        raise JavaUnavailableError(f'{wanted_by} needs Java: install a Java runtime, so that "java" is found')
    return module


def _as_toolkit(
    candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]
) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """References and candidates as the toolkit takes them; ``|||`` is METEOR's separator."""
    check_captions(candidates, references)

    def text(tokens: Tokens) -> str:
        return ' '.join(tokens).replace('|||', ' ')

    return (
        {i: [text(ref) for ref in refs] for i, refs in enumerate(references)},
        {i: [text(caption)] for i, caption in enumerate(candidates)},
    )
