"""Small networks with lively random weights, and pictures for them."""

from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from scipy.optimize import linear_sum_assignment

from mmyolor_mtl.apis import MTLInferencer
from mmyolor_mtl.datasets.shapes import generate_scene
from mmyolor_mtl.registry import MODELS
from mmyolor_mtl.structures import INSTANCE_OFFSET, decode_rle
from mmyolor_mtl.utils.letterbox import letterbox
from mmyolor_mtl.utils.lively import make_lively

META = dict(
    classes=('cat', 'dog', 'bird', 'car'),
    palette=[(220, 20, 60), (119, 11, 32), (0, 0, 142), (0, 0, 230)],
    stuff_classes=('sky',),
    stuff_palette=[(70, 130, 180)],
    extra_classes=('other',),
)
WORDS = ['[PAD]', '[UNK]', '[BOS]', '[EOS]', *(f'word{i}' for i in range(16))]
TOKENIZER = dict(type='mmyolor_mtl.WordTokenizer', tokens=WORDS)


def write_pictures(folder: Path, count: int) -> list[Path]:
    """Scenes of Shapes in different sizes, as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index in range(count):
        height, width = ((120, 170), (200, 130), (64, 64), (90, 300))[index % 4]
        scene = generate_scene(0, 'val', index, height, width)
        files.append(folder / f'{index:02d}.png')
        cv2.imwrite(str(files[-1]), cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR))
    return files


def config(model: dict, scale: tuple[int, int] = (128, 128)) -> Config:
    """Config of a small network with a test pipeline."""
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='mmyolor_mtl.Letterbox', scale=scale),
        dict(type='mmyolor_mtl.LoadMTLAnnotations'),
        dict(type='mmyolor_mtl.PackMTLInputs'),
    ]
    dataset = dict(type='mmdet.CocoDataset', metainfo=META, data_root='', ann_file='none.json', pipeline=pipeline)
    return Config(dict(default_scope='mmdet', model=model, test_dataloader=dict(batch_size=1, dataset=dataset)))


def lively_checkpoint(cfg: Config, files: list[Path], folder: Path, meta: dict = META, size: int = 128) -> Path:
    """Checkpoint of the network of a config; its batch norms know these pictures."""
    init_default_scope('mmdet')
    torch.manual_seed(0)
    network = MODELS.build(cfg.model)
    network.init_weights()
    pictures = [letterbox(cv2.imread(str(file)), (size, size)).pixels for file in files]
    make_lively(network, torch.from_numpy(np.stack(pictures)[..., ::-1].copy()).permute(0, 3, 1, 2) / 255)
    content = {'dataset_meta': meta}
    if 'cap' in network.heads:
        content['tokenizer'] = network.heads['cap'].tokenizer.state()
    path = folder / 'lively.pth'
    torch.save({'state_dict': network.state_dict(), 'meta': content}, path)
    return path


def build_inferencer(model: dict, files: list[Path], folder: Path) -> MTLInferencer:
    """A small network, ready for pictures."""
    cfg = config(model)
    return MTLInferencer(cfg, lively_checkpoint(cfg, files, folder))


def assert_same(expected, found, *, floats: float = 1e-3, pixels: float = 0.999) -> None:
    """The results of two inferencers agree: floats, the share of equal pixels, and the words exactly.

    Two objects whose scores differ by rounding alone may stand in either order.
    """
    assert expected.error is None and found.error is None
    assert (found.height, found.width) == (expected.height, expected.width)
    assert found.scores.shape == expected.scores.shape
    order = _matched(expected, found, floats)
    assert [found.class_names[i] for i in order] == expected.class_names
    assert (found.masks is None) == (expected.masks is None)
    if expected.masks:
        pairs = zip(expected.masks, order, strict=True)
        same = [agreement(decode_rle(one), decode_rle(found.masks[i])) for one, i in pairs]
        # An edge of a box that lies on a pixel's edge may fall to either side: a row or column of one mask.
        assert np.mean(same) >= pixels and min(same) >= 0.95
    assert found.sem_names == expected.sem_names
    for name, least in (('sem_seg', pixels), ('panoptic', 0.97)):
        one, other = getattr(expected, name), getattr(found, name)
        assert (one is None) == (other is None), name
        # Which of two objects lies on top hangs on their scores, however little these differ.
        if one is not None and (name == 'sem_seg' or has_clear_order(expected)):
            assert one.dtype == other.dtype
            one, other = (labels.astype(np.int64) % INSTANCE_OFFSET for labels in (one, other))
            assert agreement(one, other) >= least, name
    assert found.caption == expected.caption
    if expected.caption_score is not None:
        assert abs(found.caption_score - expected.caption_score) <= floats


def _matched(expected, found, floats: float) -> list[int]:
    """For each expected object the place of its twin."""
    near = np.abs(found.boxes - expected.boxes[:, None]).max(-1, initial=0)
    close = near <= floats * np.maximum(1, expected.boxes.max(-1, initial=0)[:, None] / 10)
    close &= np.abs(found.scores - expected.scores[:, None]) <= floats
    close &= found.labels == expected.labels[:, None]
    rows, columns = linear_sum_assignment(~close)
    assert close[rows, columns].all(), f'{(~close[rows, columns]).sum()} of {len(rows)} objects have no twin'
    return columns.tolist()


def has_clear_order(result) -> bool:
    """Whether no two objects have practically the same score."""
    return not (np.abs(np.diff(result.scores)) < 1e-5).any()


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Share of equal pixels."""
    assert one.shape == other.shape
    return float((one == other).mean())
