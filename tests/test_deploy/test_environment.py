"""An environment with numpy, OpenCV and ONNX Runtime, and nothing else."""

import json
import os
import subprocess
import venv

import pytest

PACKAGES = ('numpy', 'opencv-python-headless', 'onnxruntime')
RUN = """
import sys, warnings
warnings.simplefilter('error')
from mmyolor_mtl.deploy import OnnxInferencer
result = OnnxInferencer(sys.argv[1])(sys.argv[2], score_thr=0.6)[0]
assert not {'torch', 'mmengine', 'mmcv', 'mmdet', 'packaging'} & set(sys.modules)
result.save(sys.argv[3])
"""


@pytest.mark.slow
def test_numpy_opencv_and_onnxruntime_are_enough(exported, torch_inferencer, pictures, repo_root, tmp_path):
    venv.create(tmp_path / 'venv', with_pip=True)
    python = tmp_path / 'venv' / 'bin' / 'python'
    install = [str(python), '-m', 'pip', 'install', '-q', '--disable-pip-version-check', *PACKAGES]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f'pip could not install {PACKAGES}: {done.stderr.strip().splitlines()[-1:]}')
    listed = subprocess.run([str(python), '-m', 'pip', 'list', '--format=json'], capture_output=True, check=True)
    assert not {'torch', 'mmengine', 'onedl-mmengine'} & {entry['name'] for entry in json.loads(listed.stdout)}
    arguments = [str(exported), str(pictures[0]), str(tmp_path / 'result.json')]
    environment = {**os.environ, 'PYTHONPATH': str(repo_root)}
    done = subprocess.run([str(python), '-c', RUN, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / 'result.json').read_text())
    (expected,) = torch_inferencer(pictures[0], score_thr=0.6)
    assert found['caption']['text'] == expected.caption
    assert [part['label'] for part in found['semantic']] == [part['label'] for part in expected.to_dict()['semantic']]
    assert len(found['objects']) == len(expected.scores) > 0
