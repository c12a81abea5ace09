"""Pure functions behind the metrics; they know nothing of registries, samples or configs."""

from .average_precision import DetectionScores, average_precision
from .bleu import bleu, corpus_bleu
from .captions import CAPTION_METRICS, DEFAULT_METRICS, CaptionScores, check_metrics, score_captions, tokenize_captions
from .cider import CiderScorer, cider, document_frequency
from .diversity import distinct, diversity
from .java_scores import JavaUnavailableError, java_tokenize, meteor, spice
from .ngrams import count_ngrams
from .panoptic_quality import class_quality, panoptic_quality, segment_statistics
from .ptb_tokenize import ptb_tokenize
from .rouge import lcs_length, rouge_l
from .semantic import class_scores, pixel_counts, semantic_scores, stuff_labels

__all__ = [
    'CAPTION_METRICS',
    'DEFAULT_METRICS',
    'CaptionScores',
    'CiderScorer',
    'DetectionScores',
    'JavaUnavailableError',
    'average_precision',
    'bleu',
    'check_metrics',
    'cider',
    'class_quality',
    'class_scores',
    'corpus_bleu',
    'count_ngrams',
    'distinct',
    'diversity',
    'document_frequency',
    'java_tokenize',
    'lcs_length',
    'meteor',
    'panoptic_quality',
    'pixel_counts',
    'ptb_tokenize',
    'rouge_l',
    'score_captions',
    'segment_statistics',
    'semantic_scores',
    'spice',
    'stuff_labels',
    'tokenize_captions',
]
