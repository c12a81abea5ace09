"""Captions: BLEU, ROUGE-L, CIDEr and diversity in Python; METEOR and SPICE where Java is."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmyolor_mtl.registry import METRICS

from ..caption_files import name_images, read_references, write_results
from ..functional import DEFAULT_METRICS, check_metrics, score_captions, tokenize_captions
from .common import is_labelled, require, unique_images, warn_unlabelled


@METRICS.register_module()
class CaptionMetric(BaseMetric):
    """Scores of generated captions as the official COCO caption evaluation computes them, without Java (spec 6.4).

    Figures: ``Bleu_1`` to ``Bleu_4`` and ``ROUGE_L`` in 0..1, ``CIDEr`` in its usual scale (about 1 for good captions),
    ``distinct_1``, ``distinct_2`` and ``vocabulary_share`` in 0..1, ``vocabulary`` and ``mean_length`` in words.

    The references are the sample's ``gt_captions``, or those of ``ann_file``. Samples whose ``labelled_tasks`` lack
    'cap' are not scored; without any other sample the result is empty, with a warning. An image that has references but
    no caption is left out and named in a warning. CIDEr's word weights come from the references evaluated.

    Args:
        ann_file (str, optional): COCO caption file with the references; images without captions there are not scored,
            and those that the loop does not visit are reported. Defaults to None: what the samples carry.
        metrics (Sequence[str]): Which figures, see :func:`mmyolor_mtl.evaluation.functional.score_captions`. 'METEOR'
            and 'SPICE' are left out, with a line that says why, where Java or the package is missing.
        outfile_prefix (str, optional): Write all captions to ``{outfile_prefix}.caption.json``, in COCO's format of
            results (``[{"image_id": ..., "caption": ...}]``).
        collect_device (str): Where ranks exchange results, 'cpu' or 'gpu'.
        prefix (str, optional): Prefix of the figures. Defaults to 'cap'.

    Raises:
        FileNotFoundError: ``ann_file`` does not exist.
        ValueError: ``ann_file`` is no caption file, or a metric is unknown.
    """

    default_prefix = 'cap'

    def __init__(
        self,
        ann_file: str | None = None,
        metrics: Sequence[str] = DEFAULT_METRICS,
        outfile_prefix: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.metrics = check_metrics(metrics)
        self.references = None if ann_file is None else read_references(ann_file)
        self.outfile_prefix = outfile_prefix

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the captions of a batch.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): Samples with ``img_id``, ``pred_caption`` (str, or None where the model has
                nothing to say) and, without ``ann_file``, ``gt_captions`` (list[str]).

        Raises:
            ValueError: A labelled sample lacks ``pred_caption`` or ``gt_captions``.
        """
        for sample in data_samples:
            references = self._references_of(sample)
            if references and 'pred_caption' not in sample:
                require(sample, 'pred_caption', type(self).__name__, 'the model writes no captions, remove the metric')
            self.results.append((sample.get('img_id'), (sample.get('pred_caption'), references)))

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
        self._report_missing(images)
        scored = [(caption, references) for _, (caption, references) in images if references and caption is not None]
        if not scored:
            warn_unlabelled(type(self).__name__, 'cap')
            return {}
        captions, references = zip(*scored, strict=True)
        scores = score_captions(*tokenize_captions(captions, references), self.metrics)
        for line in scores.absent:
            print_log(line, logger='current', level=logging.WARNING)
        return scores.figures

    def _references_of(self, sample: dict) -> list[str]:
        if self.references is not None:
            return self.references.get(sample.get('img_id'), [])
        if not is_labelled(sample, 'cap', 'gt_captions'):
            return []
        return list(require(sample, 'gt_captions', type(self).__name__, 'the pipeline loads no captions'))

    def _report_missing(self, images: list) -> None:
        """Name images with references that got no caption, and say how many captions have no reference."""
        missing = [img_id for img_id, (caption, references) in images if references and caption is None]
        if self.references is not None:
            visited = {img_id for img_id, _ in images}
            missing += [img_id for img_id, refs in self.references.items() if refs and img_id not in visited]
        if missing:
            print_log(
                f'{type(self).__name__}: no caption of {name_images(missing)} with references; not scored',
                logger='current',
                level=logging.WARNING,
            )
        unknown = [img_id for img_id, (caption, references) in images if caption is not None and not references]
        if unknown:
            print_log(
                f'{type(self).__name__}: no references of {name_images(unknown)} with captions; not scored',
                logger='current',
            )

    def _write(self, images: list) -> None:
        path = f'{self.outfile_prefix}.caption.json'
        captions = {_plain(img_id): caption for img_id, (caption, _) in images if caption is not None}
        write_results(path, captions)
        print_log(f'{len(captions)} captions are written to {path}', logger='current')


def _plain(img_id: Any) -> Any:
    return img_id.item() if isinstance(img_id, np.generic) else img_id
