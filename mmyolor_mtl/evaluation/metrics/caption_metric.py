"""Captions: BLEU, ROUGE-L and CIDEr, in pure Python."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmyolor_mtl.registry import METRICS

from ..functional import cider, corpus_bleu, ptb_tokenize, rouge_l
from .common import is_labelled, require, unique_images, warn_unlabelled


@METRICS.register_module()
class CaptionMetric(BaseMetric):
    """Scores of generated captions as the official COCO caption evaluation computes them, without Java.

    Figures: ``Bleu_1`` to ``Bleu_4`` and ``ROUGE_L`` in 0..1, ``CIDEr`` in its usual scale (about 1 for good captions).
    The references are the sample's ``gt_captions``. Samples whose ``labelled_tasks`` lack 'cap' are not scored; without
    any other sample the result is empty, with a warning. CIDEr's word weights come from the references evaluated.

    Args:
        outfile_prefix (str, optional): Write all captions to ``{outfile_prefix}.caption.json``, in COCO's format of
            results (``[{"image_id": ..., "caption": ...}]``).
        collect_device (str): Where ranks exchange results, 'cpu' or 'gpu'.
        prefix (str, optional): Prefix of the figures. Defaults to 'cap'.
    """

    default_prefix = 'cap'

    def __init__(
        self, outfile_prefix: str | None = None, collect_device: str = 'cpu', prefix: str | None = None
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.outfile_prefix = outfile_prefix

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the captions of a batch.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): Samples with ``img_id``, ``pred_caption`` (str) and ``gt_captions``
                (list[str]).

        Raises:
            ValueError: A labelled sample lacks ``pred_caption`` or ``gt_captions``.
        """
        name = type(self).__name__
        for sample in data_samples:
            references: list[str] = []
            caption = sample.get('pred_caption')
            if is_labelled(sample, 'cap', 'gt_captions'):
                caption = require(sample, 'pred_caption', name, 'the model writes no captions, remove the metric')
                references = list(require(sample, 'gt_captions', name, 'the pipeline loads no captions'))
            self.results.append((sample.get('img_id'), (caption, references)))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Tokenise and score the captions of all images.

        Args:
            results (list): Pairs of image id and (caption, references).

        Returns:
            dict[str, float]: The figures.
        """
        images = unique_images(results)
        if self.outfile_prefix is not None:
            self._write(images)
        scored = [(caption, references) for _, (caption, references) in images if references]
        if not scored:
            warn_unlabelled(type(self).__name__, 'cap')
            return {}
        candidates = [ptb_tokenize(caption) for caption, _ in scored]
        references = [[ptb_tokenize(reference) for reference in refs] for _, refs in scored]
        metrics = {f'Bleu_{i}': float(v) for i, v in enumerate(corpus_bleu(candidates, references), start=1)}
        metrics['ROUGE_L'] = float(rouge_l(candidates, references).mean())
        metrics['CIDEr'] = float(cider(candidates, references).mean())
        return metrics

    def _write(self, images: list) -> None:
        path = Path(f'{self.outfile_prefix}.caption.json')
        path.parent.mkdir(parents=True, exist_ok=True)
        content = [{'image_id': img_id, 'caption': caption} for img_id, (caption, _) in images if caption is not None]
        path.write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')
        print_log(f'{len(content)} captions are written to {path}', logger='current')
