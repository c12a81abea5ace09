"""Pure functions behind the metrics; they know nothing of registries, samples or configs."""

from .bleu import bleu, corpus_bleu
from .cider import CiderScorer, cider, document_frequency
from .ngrams import count_ngrams
from .panoptic_quality import panoptic_quality, segment_statistics
from .ptb_tokenize import ptb_tokenize
from .rouge import lcs_length, rouge_l

__all__ = [
    'CiderScorer',
    'bleu',
    'cider',
    'corpus_bleu',
    'count_ngrams',
    'document_frequency',
    'lcs_length',
    'panoptic_quality',
    'ptb_tokenize',
    'rouge_l',
    'segment_statistics',
]
