"""What is wrong with detections, after TIDE (Bolya et al., ECCV 2020, arXiv 2008.08115)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# What becomes of a detection; 'ignored' lies on a crowd. The errors are those of TIDE, section 2.2.
KINDS = ('correct', 'class', 'localisation', 'both', 'duplicate', 'background', 'ignored')
ERRORS = KINDS[1:6]
_CORRECT, _CLASS, _LOCALISATION, _BOTH, _DUPLICATE, _BACKGROUND, _IGNORED = range(len(KINDS))
# COCO's groups of sizes: the area in px^2 from which on an object is of the group.
SIZES = {'small': 0.0, 'medium': 32.0**2, 'large': 96.0**2}


@dataclass
class JudgedDetections:
    """Detections of one image beside its true objects, crowds left out.

    Attributes:
        labels: (D,) int, classes of the detections.
        scores: (D,) float in [0, 1].
        areas: (D,) float px^2.
        kinds: (D,) int, places in ``KINDS``.
        partners: (D,) int, the true object each one hit or came closest to, -1 = none.
        overlaps: (D,) float, IoU with the partner.
        gt_labels: (G,) int.
        gt_areas: (G,) float px^2.
    """

    labels: np.ndarray
    scores: np.ndarray
    areas: np.ndarray
    kinds: np.ndarray
    partners: np.ndarray
    overlaps: np.ndarray
    gt_labels: np.ndarray
    gt_areas: np.ndarray

    def found(self, score_thr: float) -> np.ndarray:
        """Bool (G,): true objects that a detection of at least ``score_thr`` hits."""
        return self._partnered(score_thr, [_CORRECT])

    def missed(self, score_thr: float) -> np.ndarray:
        """Bool (G,): true objects not found, and not in a wrong class or place either."""
        return ~self._partnered(score_thr, [_CORRECT, _CLASS, _LOCALISATION])

    def confusion(self, num_classes: int, score_thr: float) -> np.ndarray:
        """Count which class is taken for which, as mmdet's ``confusion_matrix`` tool does, but each detection once.

        Args:
            num_classes (int): Number of classes C.
            score_thr (float): Lower scores are left out.

        Returns:
            np.ndarray: (C + 1, C + 1) int64; rows are the true classes, columns the predicted ones, the last of both is
            the background: detections at no object (or at one found already), and objects that no detection covers.
        """
        matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
        used = (self.scores >= score_thr) & (self.kinds != _IGNORED)
        hit = np.isin(self.kinds, [_CORRECT, _CLASS])
        rows = np.full(len(self.labels), num_classes)
        rows[hit] = self.gt_labels[self.partners[hit]]
        np.add.at(matrix, (rows[used], self.labels[used]), 1)
        uncovered = ~self._partnered(score_thr, [_CORRECT, _CLASS])
        np.add.at(matrix, (self.gt_labels[uncovered], num_classes), 1)
        return matrix

    def counts(self, score_thr: float, size: str | None = None) -> dict[str, int]:
        """Objects, those found and missed, and detections of every kind, of at least ``score_thr``.

        Args:
            score_thr (float): Lower scores are left out.
            size (str, optional): A group of ``SIZES``: only its objects and detections, each by its own area.
        """
        used, true = self.scores >= score_thr, np.ones(len(self.gt_labels), dtype=bool)
        if size is not None:
            group = list(SIZES).index(size)
            used, true = used & (_group(self.areas) == group), _group(self.gt_areas) == group
        kinds = np.bincount(self.kinds[used], minlength=len(KINDS))
        counts = {'objects': int(true.sum()), 'found': int((self.found(score_thr) & true).sum())}
        counts |= {kind: int(count) for kind, count in zip(KINDS, kinds, strict=True)}
        return counts | {'missed': int((self.missed(score_thr) & true).sum())}

    def _partnered(self, score_thr: float, kinds: list[int]) -> np.ndarray:
        out = np.zeros(len(self.gt_labels), dtype=bool)
        partners = self.partners[(self.scores >= score_thr) & np.isin(self.kinds, kinds)]
        out[partners[partners >= 0]] = True
        return out


def judge_detections(
    overlaps: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    areas: np.ndarray,
    gt_labels: np.ndarray,
    gt_areas: np.ndarray,
    crowd: np.ndarray,
    foreground: float = 0.5,
    background: float = 0.1,
) -> JudgedDetections:
    """Say of each detection of an image what is wrong with it.

    In the order of their scores, detections take the free true object of their class that they overlap most, if the IoU
    reaches ``foreground``: these are correct. Another one is, in this order: *ignored* on a crowd of its class; a
    *duplicate* on an object of its class; of the wrong *class* on an object of another class; a *localisation* error
    near an object of its class (IoU from ``background`` on); *both* near one of another class; *background*.

    Args:
        overlaps (np.ndarray): (D, G) IoU in [0, 1] of boxes or masks; with crowds, the share of the detection on it.
        labels (np.ndarray): (D,) int classes.
        scores (np.ndarray): (D,) float in [0, 1].
        areas (np.ndarray): (D,) float px^2.
        gt_labels (np.ndarray): (G,) int classes.
        gt_areas (np.ndarray): (G,) float px^2.
        crowd (np.ndarray): (G,) bool.
        foreground (float): Least IoU of a hit, TIDE's t_f.
        background (float): Least IoU of a near miss, TIDE's t_b.

    Raises:
        ValueError: ``overlaps`` does not have one row a detection and one column an object.
    """
    if overlaps.shape != (len(labels), len(gt_labels)):
        raise ValueError(f'overlaps {overlaps.shape} of {len(labels)} detections and {len(gt_labels)} true objects')
    same = labels[:, None] == gt_labels[None, :]
    on_crowd = _best(overlaps, same & crowd)[1] >= foreground
    overlaps, same = overlaps[:, ~crowd], same[:, ~crowd]
    near_same, iou_same = _best(overlaps, same)
    near_other, iou_other = _best(overlaps, ~same)

    kinds = np.full(len(labels), _BACKGROUND)
    partners = np.full(len(labels), -1)
    nothing = np.full(len(labels), -1)
    # From the weakest claim to the strongest, each overwriting the ones before.
    for kind, near, where in (
        (_BOTH, near_other, iou_other >= background),
        (_LOCALISATION, near_same, iou_same >= background),
        (_CLASS, near_other, iou_other >= foreground),
        (_DUPLICATE, near_same, iou_same >= foreground),
        (_IGNORED, nothing, on_crowd),
    ):
        kinds[where], partners[where] = kind, near[where]
    for detection, partner in _match(np.where(same, overlaps, 0.0), scores, foreground).items():
        kinds[detection], partners[detection] = _CORRECT, partner

    reached = np.append(overlaps, np.zeros((len(labels), 1)), axis=1)[np.arange(len(labels)), partners]
    return JudgedDetections(labels, scores, areas, kinds, partners, reached, gt_labels[~crowd], gt_areas[~crowd])


def detection_quality(counts: Mapping[str, int]) -> float:
    """F1 of :meth:`JudgedDetections.counts` in [0, 1]: 1 for an image without any error, NaN for one without anything.

    An object in the wrong class or place counts as both not found and wrongly found.
    """
    wrong = sum(counts[kind] for kind in ERRORS)
    total = counts['found'] + counts['objects'] + wrong
    return 2 * counts['found'] / total if total else float('nan')


def score_histogram(judged: list[JudgedDetections], bins: int = 20) -> dict[str, list[int]]:
    """Number of correct and of wrong detections in equal intervals of the score in [0, 1], ignored ones left out."""
    kinds = np.concatenate([np.zeros(0, int), *(one.kinds for one in judged)])
    scores = np.concatenate([np.zeros(0), *(one.scores for one in judged)])
    groups = {'correct': kinds == _CORRECT, 'wrong': (kinds != _CORRECT) & (kinds != _IGNORED)}
    return {name: np.histogram(scores[chosen], bins, (0, 1))[0].tolist() for name, chosen in groups.items()}


def _group(areas: np.ndarray) -> np.ndarray:
    return np.searchsorted(list(SIZES.values()), areas, side='right') - 1


def _best(overlaps: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The allowed object that each detection overlaps most, and by how much; -1 and 0 where there is none."""
    if not overlaps.shape[1]:
        return np.full(len(overlaps), -1), np.zeros(len(overlaps))
    values = np.where(allowed, overlaps, 0.0)
    best = values.argmax(axis=1)
    reached = values[np.arange(len(values)), best]
    return np.where(reached > 0, best, -1), reached


def _match(overlaps: np.ndarray, scores: np.ndarray, foreground: float) -> dict[int, int]:
    """Detections that hit a free object, best scores first."""
    matches: dict[int, int] = {}
    free = overlaps.copy()
    for detection in np.argsort(-scores, kind='stable') if overlaps.shape[1] else ():
        partner = int(free[detection].argmax())
        if free[detection, partner] >= foreground:
            matches[int(detection)] = partner
            free[:, partner] = 0
    return matches
