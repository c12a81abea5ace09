"""Pure functions behind the metrics; they know nothing of registries, samples or configs."""

from .bleu import bleu, corpus_bleu
from .captions import CAPTION_METRICS, DEFAULT_METRICS, CaptionScores, check_metrics, score_captions, tokenize_captions
from .cider import CiderScorer, cider, document_frequency
from .diversity import distinct, diversity
from .java_scores import JavaUnavailableError, java_tokenize, meteor, spice
from .ngrams import count_ngrams
from .panoptic_quality import panoptic_quality, segment_statistics
from .ptb_tokenize import ptb_tokenize
from .rouge import lcs_length, rouge_l

__all__ = [
    'CAPTION_METRICS',
    'DEFAULT_METRICS',
    'CaptionScores',
    'CiderScorer',
    'JavaUnavailableError',
    'bleu',
    'check_metrics',
    'cider',
    'corpus_bleu',
    'count_ngrams',
    'distinct',
    'diversity',
    'document_frequency',
    'java_tokenize',
    'lcs_length',
    'meteor',
    'panoptic_quality',
    'ptb_tokenize',
    'rouge_l',
    'score_captions',
    'segment_statistics',
    'spice',
    'tokenize_captions',
]
