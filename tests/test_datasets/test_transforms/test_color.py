import cv2
import numpy as np
import pytest

from mmyolor_mtl.datasets.transforms import HSVJitter


def test_factors_are_applied_per_channel(monkeypatch):
    image = np.random.randint(30, 120, (16, 16, 3), dtype=np.uint8)
    monkeypatch.setattr(np.random, 'uniform', lambda low, high, n: np.array([0.0, 0.5, -1.0]))
    out = HSVJitter(hue=0.015, saturation=0.4, value=0.5)({'img': image.copy()})['img']
    before, after = (cv2.cvtColor(i, cv2.COLOR_BGR2HSV).astype(int) for i in (image, out))
    assert np.abs(after[..., 2] - before[..., 2] * 0.5).max() <= 1
    assert np.median(after[..., 1] - np.minimum(before[..., 1] * 1.2, 255)) <= 5


def test_hue_wraps_and_saturation_is_cut(monkeypatch):
    hsv = np.array([[[179, 250, 200]]], np.uint8)
    image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    monkeypatch.setattr(np.random, 'uniform', lambda low, high, n: np.array([1.0, 1.0, 0.0]))
    out = HSVJitter(hue=0.05, saturation=0.9, value=0.4)({'img': image})['img']
    hue, saturation, _ = cv2.cvtColor(out, cv2.COLOR_BGR2HSV)[0, 0]
    assert 5 <= hue <= 9 and saturation == 255  # 179 * 1.05 - 180 = 7.95


def test_zero_gains_leave_the_picture():
    image = np.random.randint(0, 256, (8, 8, 3), dtype=np.uint8)
    assert HSVJitter(0, 0, 0)({'img': image})['img'] is image
    with pytest.raises(ValueError, match='hue=2'):
        HSVJitter(hue=2)
