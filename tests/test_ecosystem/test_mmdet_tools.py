"""MMDetection's tools, as they are installed, by the commands of their page: each runs, and its output is right."""

import importlib.util
import json
import pickle
import re
import shutil
from pathlib import Path

import cv2
import mmdet
import pytest
import torch
from mmdet.datasets import get_loading_pipeline
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmyolor_mtl.registry import DATASETS, MODELS
from mmyolor_mtl.utils.cli import NO_TTA

from ..test_docs.guides import Commands, blocks, checkout_environment, run_python
from ..test_train.conftest import DEMO, ROOT

pytestmark = pytest.mark.slow

PAGE = ROOT / 'docs/advanced_guides/mmdet_tools.md'
TOOLS = Path(mmdet.__file__).parent / '.mim/tools'
CONFIG = DEMO.relative_to(ROOT)
RUN = Path('work_dirs/tools')
COMMANDS = Commands(PAGE, {**checkout_environment(ROOT), 'MPLBACKEND': 'Agg'})
BY_SEABORN = 'seaborn' in (TOOLS / 'analysis_tools/analyze_logs.py').read_text()
if BY_SEABORN:  # OpenMMLab's own packages: see the page
    COMMANDS.lines = [line.replace('--style default ', '') for line in COMMANDS.lines]
run = COMMANDS.run


def tool(name):
    """A tool as a module."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, TOOLS / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def config(checkout):
    """The config, for any working folder."""
    init_default_scope('mmdet')
    text = (checkout / CONFIG).read_text()
    return Config.fromstring(text.replace('data/shapes/', f'{checkout}/data/shapes/'), '.py')


@pytest.fixture(scope='module')
def log(checkout):
    """What ``train.py`` printed."""
    return run(checkout, '$TOOLS/train.py')


@pytest.fixture(scope='module')
def figures(checkout, log):
    """Figures of ``test.py``, which leaves predictions and pictures behind."""
    run(checkout, '$TOOLS/test.py')
    return json.loads((checkout / RUN / 'test/metrics.json').read_text())


def test_every_command_has_a_test():
    source = Path(__file__).read_text()
    keys = re.findall(r"run\(\w+, '(.+?)'\)", source)
    assert len(COMMANDS.lines) == 13 and all(any(key in line for key in keys) for line in COMMANDS.lines)


def test_train(checkout, log):
    assert 'Epoch(train) [1][2/2]' in log and 'pan/PQ' in log
    checkpoint = torch.load(checkout / RUN / 'epoch_1.pth', weights_only=False)
    assert checkpoint['meta']['iter'] == 2 and checkpoint['meta']['dataset_meta']['stuff_classes']
    steps = [json.loads(line) for line in next(checkout.glob(f'{RUN}/*/vis_data/scalars.json')).open()][:2]
    assert [step['step'] for step in steps] == [1, 2] and all(step['loss_det_cls'] > 0 for step in steps)


def test_test(checkout, figures):
    assert {name.split('/')[0] for name in figures} == {'coco', 'sem', 'pan', 'cap', 'seconds'}
    predictions = pickle.loads((checkout / RUN / 'results.pkl').read_bytes())
    assert len(predictions) == 4
    for one in predictions:
        assert len(one['pred_instances']['masks']) == len(one['pred_instances']['scores']) > 0
        assert one['pred_sem_seg']['sem_seg'].shape == one['pred_panoptic_seg']['sem_seg'].shape == (1, 64, 64)
        assert one['pred_caption']
    pictures = sorted(path.stem for path in checkout.glob(f'{RUN}/test/*/pictures/*'))
    assert pictures == sorted(Path(one['img_path']).stem for one in predictions)


def test_tta_is_refused_with_the_reason(checkout, log):
    command = f'python $TOOLS/test.py $CONFIG {RUN}/epoch_1.pth --work-dir {RUN}/tta --tta'
    done = COMMANDS.shell(checkout, command)
    assert done.returncode == 1 and NO_TTA in done.stderr.splitlines()[-1]
    assert not list(checkout.glob(f'{RUN}/tta/metrics.json'))


def test_get_flops(checkout, config):
    printed = run(checkout, 'get_flops.py')
    assert 'Input shape: (64, 64)' in printed
    flops, params = (float(re.search(rf'{name}: ([\d.]+)M', printed)[1]) for name in ('Flops', 'Params'))
    network = MODELS.build(config.model)
    assert params == pytest.approx(sum(p.numel() for p in network.parameters()) / 1e6, abs=0.001)
    assert 5 < flops < 50


def test_benchmark_of_the_pipeline(checkout):
    printed = run(checkout, '--task dataset')
    assert 'Done img [8  /8]' in printed
    for name in ('LoadMTLAnnotations', 'MTLMosaic', 'MTLRandomAffine', 'PackMTLInputs'):
        assert re.search(rf'{name} - [\d.]+ ms', printed)


def test_benchmark_of_the_loader(checkout):
    printed = run(checkout, '--task dataloader')
    assert 'batch size: 6' in printed and float(re.search(r'Overall fps: ([\d.]+) batch/s', printed)[1]) > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="MMDetection's benchmark of inference needs CUDA")
def test_benchmark_of_inference(checkout, log):
    (block,) = blocks(PAGE, 'bash')
    done = COMMANDS.shell(checkout, block)
    assert done.returncode == 0 and 'Overall fps' in done.stdout + done.stderr


def test_browse_dataset(checkout, scenes):
    run(checkout, 'browse_dataset.py')
    for path in (scenes / 'train2017').iterdir():
        drawn = cv2.imread(str(checkout / RUN / 'browse' / path.name))
        assert drawn.shape[0] >= 64 and drawn.std() > 10


def test_print_config(checkout, config):
    printed = run(checkout, 'print_config.py')
    assert "type='mmyolor_mtl.YOLORMTL'" in printed
    assert Config.fromfile(checkout / RUN / 'whole/config.py').optim_wrapper == config.optim_wrapper


def test_analyze_logs(checkout, log):
    if BY_SEABORN:
        pytest.importorskip('seaborn')
    assert 'loss_sem_pixel' in run(checkout, 'plot_curve')
    assert cv2.imread(str(checkout / RUN / 'losses.png')).std() > 1
    assert float(re.search(r'average iter time: ([\d.]+) s/iter', run(checkout, 'cal_train_time'))[1]) > 0


def test_eval_metric(checkout, figures):
    printed = run(checkout, 'eval_metric.py').splitlines()[-1]
    again = {name: float(value) for name, value in re.findall(r"'(\w+/\w+)': ([\d.e+-]+)", printed)}
    assert sum(value > 0 for value in again.values()) >= 8
    assert again == {name: pytest.approx(value) for name, value in figures.items() if name != 'seconds'}


@pytest.fixture
def half_right(checkout, config):
    """Function that makes predictions of the first two scenes right, and says what all four scenes hold."""

    def change(path):
        predictions = pickle.loads(path.read_bytes())
        dataset = DATASETS.build(config.test_dataloader.dataset)
        truth = [dataset.get_data_info(i)['instances'] for i in range(4)]
        for one, objects in list(zip(predictions, truth, strict=True))[:2]:
            one['pred_instances'] = dict(
                bboxes=torch.tensor([each['bbox'] for each in objects], dtype=torch.float32),
                labels=torch.tensor([each['bbox_label'] for each in objects]),
                scores=torch.ones(len(objects)),
            )
        path.write_bytes(pickle.dumps(predictions))
        return predictions, dataset, truth

    return change


def test_confusion_matrix(checkout, figures, half_right):
    file = checkout / RUN / 'results.pkl'
    kept = shutil.copy(file, checkout / RUN / 'kept.pkl')
    predictions, dataset, truth = half_right(file)
    run(checkout, 'confusion_matrix.py')
    shutil.move(kept, file)
    assert cv2.imread(str(checkout / RUN / 'confusion/confusion_matrix.png')).shape[0] > 500
    matrix = tool('analysis_tools/confusion_matrix.py').calculate_confusion_matrix(dataset, predictions, 0.25)
    assert matrix.trace() == len(truth[0]) + len(truth[1]) and matrix[:, -1].sum() == len(truth[2]) + len(truth[3])


def test_analyze_results(checkout, log, half_right):
    run(checkout, 'tools/test.py $CONFIG $(cat $RUN/last_checkpoint) --work-dir $RUN/boxes')
    predictions, *_ = half_right(checkout / RUN / 'boxes.pkl')
    assert 'pred_panoptic_seg' not in predictions[0]
    run(checkout, 'analyze_results.py')
    good, bad = (
        sorted(path.name for path in (checkout / RUN / 'analysis' / name).iterdir()) for name in ('good', 'bad')
    )
    assert good == ['000500000001_1.0.jpg', '000500000002_1.0.jpg']
    assert bad == ['000500000003_0.0.jpg', '000500000004_0.0.jpg']


@pytest.mark.parametrize('path', sorted(path.name for path in (ROOT / 'configs/_base_/datasets').iterdir()))
def test_labels_are_loaded_second(path):
    """What the page says for ``analyze_results.py``, and that it is still needed."""
    init_default_scope('mmdet')
    pipeline = Config.fromfile(ROOT / 'configs/_base_/datasets' / path).train_dataloader.dataset.pipeline
    with pytest.raises(AssertionError, match='must include loading image and annotations'):
        get_loading_pipeline(pipeline)
    pipeline[1].type = 'LoadAnnotations'
    assert get_loading_pipeline(pipeline) == pipeline[:2]


def test_det_inferencer(checkout, log, monkeypatch):
    monkeypatch.chdir(checkout)
    names = run_python(PAGE)
    assert len(names['results']['predictions']) == 4 and names['results']['predictions'][0]['labels']
    assert len(list(Path(RUN, 'inferencer/vis').iterdir())) == 4
    written = json.loads(Path(RUN, 'json/preds/000500000001.json').read_text())
    assert len(written['masks']) == len(written['bboxes']) == len(written['labels']) > 0
