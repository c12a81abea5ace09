import cv2
import numpy as np
import pytest

from mmyolor_mtl.datasets.transforms import RandomFilters


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    return cv2.blur(rng.integers(0, 200, (64, 80, 3), dtype=np.uint8), (3, 3))


def happening(monkeypatch, *which):
    """Let only these of the four filters happen."""
    monkeypatch.setattr(np.random, 'random', lambda count: np.where(np.isin(np.arange(count), which), 0.0, 1.0))


@pytest.mark.parametrize('which', range(4))
def test_each_filter(monkeypatch, image, which):
    happening(monkeypatch, which)
    found = RandomFilters(0.5)({'img': image.copy()})['img']
    assert found.shape == image.shape and found.dtype == np.uint8 and (found != image).any()
    roughness = [np.abs(np.diff(one.astype(int), axis=1)).mean() for one in (image, found)]
    if which in (0, 1):
        assert roughness[1] < 0.9 * roughness[0]
    elif which == 2:
        assert (found == found[..., :1]).all()
    else:
        assert roughness[1] > roughness[0]


def test_how_often(monkeypatch, image):
    np.random.seed(0)
    small = image[:8, :8]
    changed = sum((RandomFilters(0.1)({'img': small})['img'] != small).any() for _ in range(400))
    assert 100 < changed < 180  # 1 - 0.9 ** 4 of them: 138
    assert all((RandomFilters(0.0)({'img': small})['img'] == small).all() for _ in range(50))
    with pytest.raises(ValueError, match='prob=2'):
        RandomFilters(2)
