"""Captions of an exported network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmyolor_mtl.utils.token_text import JOINS, decode_ids

from .runtimes import Arrays, Graph, load_graph
from .search import beam_search


class Captioner:
    """The exported decoder and its vocabulary.

    Args:
        path (Path): The caption graph.
        settings (Mapping): What the description of the network says under ``caption``.
        kwargs: Passed on to :func:`load_graph`.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], **kwargs: Any) -> None:
        self._settings = settings
        self._graph = load_graph(path, ('log_probs', 'new_cache'), **kwargs)

    def __call__(self, memory: Arrays, count: int) -> list[dict[str, Any]]:
        """Write about B pictures.

        Args:
            memory (Arrays): Outputs ``memory_0``, ... of the vision graph.
            count (int): Pictures B.

        Returns:
            list[dict]: ``pred_caption_ids`` (T,), ``pred_caption_score``, and where the network has a vocabulary
            ``pred_caption``.
        """
        decoding = _Decoding(self._graph, memory, count, self._settings['cache'])
        sentences = beam_search(decoding, count, self._settings['search'])
        found: list[dict[str, Any]] = []
        for tokens, score in zip(*sentences, strict=True):
            found.append({'pred_caption_ids': np.array(tokens), 'pred_caption_score': score})
            vocabulary = self._settings['vocabulary']
            if vocabulary is not None:
                rest = {key: value for key, value in vocabulary.items() if key != 'join'}
                found[-1]['pred_caption'] = decode_ids(tokens, join=JOINS[vocabulary['join']], **rest)
        return found


class _Decoding:
    """One run; meets ``search.Decoding``."""

    def __init__(self, graph: Graph, memory: Arrays, count: int, cache: Mapping[str, int]) -> None:
        self._graph = graph
        self._memory = memory
        shape = (count, 1, cache['layers'], 2, cache['heads'], 0, cache['channels'])
        self._cache = np.zeros(shape, dtype=np.float32)

    def step(self, tokens: np.ndarray) -> np.ndarray:
        outputs = self._graph({'tokens': tokens, 'cache': self._cache, **self._memory})
        self._cache = outputs['new_cache']
        return outputs['log_probs']

    def reorder(self, parents: np.ndarray) -> None:
        self._cache = self._cache[np.arange(len(parents))[:, None], parents]
