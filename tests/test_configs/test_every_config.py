"""Every config in a narrow network: trains one step with its own optimizer, saves, loads and predicts the same.

``test_configs.py`` builds each of them at full width.
"""

import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapperDict
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint, save_checkpoint

from mmyolor_mtl.models.text import WordTokenizer
from mmyolor_mtl.registry import HOOKS, MODELS

from ..test_models.helpers import labelled_sample
from .test_configs import CONFIGS, SELF_CRITICAL

SIZE = 64
NARROW = dict(widen_factor=1 / 16)
BRANCH = dict(num_blocks=1, split_channels=16, stage_channels=8)
CAPTIONS = {0: ['a red car on a road', 'a car'], 1: ['a dog in the grass', 'one dog']}


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A vocabulary and the references that self-critical training reads."""
    folder = tmp_path_factory.mktemp('words')
    WordTokenizer.build(text for texts in CAPTIONS.values() for text in texts).save(folder / 'vocab.txt')
    annotations = [dict(image_id=i, caption=text) for i, texts in CAPTIONS.items() for text in texts]
    content = dict(images=[dict(id=i) for i in CAPTIONS], annotations=annotations)
    (folder / 'captions.json').write_text(json.dumps(content))
    return folder


def shrink(model, vocab_file):
    """Make the network of a config narrow (in place), its heads and losses staying what they are."""
    model.backbone.update(NARROW)
    backbone = MODELS.build(model.backbone)
    channels = [backbone.out_channels[i] for i in backbone.out_indices]
    # Attention wants 128 channels.
    model.neck.update(in_channels=channels, widen_factor=1 / 4 if model.neck.get('attention') else 1 / 16)
    neck = MODELS.build(model.neck).out_channels
    if 'auxiliary' in model:
        model.auxiliary.update(in_channels=channels, **NARROW)
        auxiliary = MODELS.build(model.auxiliary).out_channels
    for task, head in model.heads.items():
        head.in_channels = neck[:3]
        if 'auxiliary' in head:
            head.auxiliary.in_channels = auxiliary
        if 'branch' in head:
            head.branch = {**BRANCH, 'out_channels': 16} if task == 'sem' else BRANCH
        if head.get('hidden_channels'):
            head.hidden_channels = 16
    if 'det' in model.heads:
        model.heads.det.test_cfg = {
            **model.heads.det.get('test_cfg', {}), 'score_thr': 1e-6, 'nms_pre': 100, 'max_per_img': 10
        }  # fmt: skip
    if 'ins' in model.heads:
        model.heads.ins.update(num_prototypes=8, proto_channels=16)
    if 'cap' in model.heads:
        shrink_captions(model.heads.cap, channels, neck, vocab_file)
    return model


def shrink_captions(head, backbone, neck, vocab_file):
    head.update(embed_dims=32, num_heads=4, num_layers=1, feedforward_channels=32, max_length=12, vocab_size=None)
    head.tokenizer = dict(type='mmyolor_mtl.WordTokenizer', vocab_file=str(vocab_file))
    head.test_cfg = {**head.get('test_cfg', {}), 'max_length': 8}
    if head.get('num_encoder_layers'):
        head.num_encoder_layers = 1
    if head.type == 'mmyolor_mtl.RegionCaptionHead':
        head.update(grid_channels=neck[3], semantic_channels=neck[0], num_regions=20)
        return
    levels = backbone if head.get('source', 'backbone') == 'backbone' else neck
    head.update(mlp_channels=32, in_channels=[levels[i] for i in head.get('levels') or range(3)])


def batch_for(model):
    """Two pictures, the second labelled with boxes and captions alone."""
    num_classes = model.heads['sem'].num_classes if 'sem' in model.heads else 6
    samples = [
        labelled_sample(tasks=('det', 'ins', 'sem', 'cap'), num_classes=num_classes, seed=0),
        labelled_sample(boxes=((4, 4, 60, 60),), labels=(2,), tasks=('det', 'cap'), seed=1),
    ]
    for number, sample in enumerate(samples):
        sample.gt_captions = CAPTIONS[number]
        if 'cap' in model.heads:
            ids = model.heads['cap'].tokenizer.encode(CAPTIONS[number][0], 12)
            sample.set_field(torch.tensor(ids), 'gt_caption_ids')
        if 'sem' in model.heads:
            stride = model.heads['sem'].out_stride
            sample.gt_sem_target = sample.gt_sem_seg.sem_seg[:, stride // 2 :: stride, stride // 2 :: stride].clone()
    return dict(inputs=[sample.caption_view.clone() for sample in samples], data_samples=samples)


def optim_wrapper_of(cfg, model):
    """The config's own, which fails the test when it is about to step by a gradient that is not finite."""
    runner = Runner.__new__(Runner)
    runner.model = model
    config = cfg.get('optim_wrapper', dict(optimizer=dict(type='SGD', lr=0.01)))  # those of the reference have none
    optim_wrapper = Runner.build_optim_wrapper(runner, config)
    stepped = []
    for one in optim_wrapper.values() if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]:
        one.optimizer.register_step_pre_hook(lambda optimizer, *_: stepped.append(gradients_of(optimizer)))
    return optim_wrapper, stepped


def gradients_of(optimizer):
    gradients = [p.grad for group in optimizer.param_groups for p in group['params'] if p.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    return len(gradients)


def predictions(model, batch):
    model.eval()
    torch.manual_seed(0)
    with torch.no_grad():
        samples = model.test_step(batch)
    found = {}
    for number, sample in enumerate(samples):
        instances = sample.get('pred_instances')
        if instances is not None:
            found |= {f'{number}.{key}': instances[key] for key in instances.keys()}  # noqa: SIM118
            assert len(instances), 'an empty prediction would compare nothing'
        for name in ('pred_sem_seg', 'pred_panoptic_seg'):
            if name in sample:
                found[f'{number}.{name}'] = sample.get(name).sem_seg
        if 'pred_caption_ids' in sample:
            found[f'{number}.caption'] = sample.pred_caption_ids
    return found


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_a_step_and_a_checkpoint(path, files, tmp_path):
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    shrink(cfg.model, files / 'vocab.txt')
    model = MODELS.build(cfg.model)
    model.train()
    if path in SELF_CRITICAL:
        cfg.custom_hooks[0].loss.update(caption_file=str(files / 'captions.json'), max_length=8)
        runner = SimpleNamespace(epoch=0, model=model, logger=MMLogger.get_current_instance())
        HOOKS.build(cfg.custom_hooks[0]).before_train_epoch(runner)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optim_wrapper, stepped = optim_wrapper_of(cfg, model)
    losses = model.train_step(batch_for(model), optim_wrapper)
    assert all(torch.isfinite(torch.as_tensor(value)).all() for value in losses.values()) and stepped and min(stepped)
    after = model.state_dict()
    changed = {name.split('.')[1] for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed >= ({'cap'} if path in SELF_CRITICAL else set(model.heads))

    save_checkpoint(dict(state_dict=after), str(tmp_path / 'one.pth'))
    other = MODELS.build(cfg.model)
    load_checkpoint(other, str(tmp_path / 'one.pth'), strict=True)
    loaded = other.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in after.items())
    one, two = (predictions(network, batch_for(network)) for network in (model, other))
    assert one.keys() == two.keys() and len(one) >= 2
    assert all(torch.equal(value, two[name]) for name, value in one.items())
