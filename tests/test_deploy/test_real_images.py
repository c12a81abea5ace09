"""Twenty photographs, the quarter-width and the full network, and GYOLO's wiring: both runtimes equal PyTorch."""

import numpy as np
import pytest
from mmengine.config import Config

from mmyolor_mtl.apis import MTLInferencer
from mmyolor_mtl.datasets import COCOMultiTaskDataset
from mmyolor_mtl.deploy import OnnxInferencer
from mmyolor_mtl.deploy.export import export_onnx

from ..test_models.test_detectors.test_gyolo import config as gyolo_config
from .networks import TOKENIZER, assert_same, build_inferencer, lively_checkpoint, write_pictures

QUARTER = 'configs/mini_coco/yolor-mtl_elan-w25_det-ins-sem-cap_1xb8_mini-coco.py'
FULL = 'configs/yolor_mtl/yolor-mtl_elan_det-ins-sem-cap_8xb8-300e_coco.py'
TESTED_RUNTIMES = ('onnxruntime', 'openvino')


def compare(inferencer, folder, files, score_thr=0.3):
    """Results of PyTorch, after all runtimes were found to give the same."""
    exported = export_onnx(inferencer, folder / 'network')
    expected = inferencer(files, batch_size=4, score_thr=score_thr)
    for runtime in TESTED_RUNTIMES:
        found = OnnxInferencer(exported, runtime, threads=1)(files, batch_size=2, score_thr=score_thr)
        for one, other in zip(expected, found, strict=True):
            assert_same(one, other)
    return expected


@pytest.mark.slow
@pytest.mark.parametrize('path, words, size', [(QUARTER, 1000, 256), (FULL, 30522, 320)])
def test_photographs(shared_dir, repo_root, tmp_path, path, words, size):
    pytest.importorskip('openvino')
    files = sorted((shared_dir / 'mini_coco/val2017').glob('*.jpg'))[:20]
    assert len(files) == 20
    cfg = Config.fromfile(repo_root / path)
    for part in ('backbone', 'neck'):
        cfg.model[part].pop('init_cfg', None)
    tokens = [*TOKENIZER['tokens'][:4], *(f'word{i}' for i in range(4, words))]
    head = cfg.model.heads.cap
    head['tokenizer'], head['vocab_size'] = dict(type='mmyolor_mtl.WordTokenizer', tokens=tokens), words
    next(step for step in cfg.test_dataloader.dataset.pipeline if 'Letterbox' in step['type'])['scale'] = (size, size)
    checkpoint = lively_checkpoint(cfg, files[:4], tmp_path, dict(COCOMultiTaskDataset.METAINFO), size)
    results = compare(MTLInferencer(cfg, checkpoint), tmp_path, files)
    assert min(len(result.scores) for result in results) >= 1
    assert np.mean([len(np.unique(result.sem_seg)) for result in results]) > 10
    assert len({result.caption for result in results}) > 1


@pytest.mark.slow
def test_gyolo(tmp_path):
    """One-to-one boxes, masks and labels from branches of their own, captions that look at regions."""
    pytest.importorskip('openvino')
    files = write_pictures(tmp_path / 'pictures', 8)
    model = gyolo_config(test_cfg=dict(panoptic=dict(num_things=4, num_evaluated=5)))
    # More regions than the smallest input has anchors.
    model['heads']['cap'].update(tokenizer=TOKENIZER, num_regions=300)
    compare(build_inferencer(model, files, tmp_path), tmp_path, files)
