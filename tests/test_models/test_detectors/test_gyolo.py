"""The GYOLO wiring in a network of 1/8 width: auxiliary, one-to-one, region captions, deploy form."""

import copy

import pytest
import torch
from mmengine.structures import InstanceData

from mmyolor_mtl.registry import MODELS

from ..helpers import count, labelled_sample

CHANNELS = (64, 128, 128)
AUXILIARY = dict(in_channels=(64, 64, 64))
BRANCH = dict(num_blocks=1, split_channels=16, stage_channels=8)
SIZE = (64, 96)


def config(**overrides) -> dict:
    """All four tasks."""
    narrow = dict(widen_factor=1 / 8)
    heads = dict(
        det=dict(
            type='mmyolor_mtl.YOLORDetectionHead',
            num_classes=4,
            in_channels=CHANNELS,
            box_groups=4,
            light_cls=True,
            one_to_one=True,
            auxiliary=AUXILIARY,
        ),
        ins=dict(
            type='mmyolor_mtl.YOLORMaskHead',
            in_channels=CHANNELS,
            num_prototypes=8,
            proto_channels=16,
            branch=BRANCH,
            auxiliary=AUXILIARY,
        ),
        sem=dict(
            type='mmyolor_mtl.YOLORSemanticHead',
            num_classes=6,
            in_channels=CHANNELS,
            stride=4,
            branch={**BRANCH, 'out_channels': 16},
            auxiliary=AUXILIARY,
        ),
        cap=dict(
            type='mmyolor_mtl.RegionCaptionHead',
            in_channels=CHANNELS,
            grid_channels=128,
            semantic_channels=64,
            num_regions=20,
            embed_dims=32,
            num_heads=4,
            feedforward_channels=32,
            max_length=12,
            vocab_size=20,
        ),
    )
    return {
        'type': 'mmyolor_mtl.YOLORMTL',
        'data_preprocessor': dict(type='mmyolor_mtl.YOLORMTLDataPreprocessor'),
        'backbone': dict(type='mmyolor_mtl.GELANBackbone', **narrow),
        'neck': dict(
            type='mmyolor_mtl.GELANPAFPN',
            in_channels=(64, 64, 64),
            attention=True,
            isolate_half=True,
            widen_factor=0.25,
        ),
        'auxiliary': dict(type='mmyolor_mtl.GELANAuxiliaryBranch', in_channels=(64, 64, 64), **narrow),
        'heads': heads,
        'test_cfg': dict(panoptic=dict(num_things=4, num_evaluated=6)),
        **overrides,
    }


def build(**overrides):
    torch.manual_seed(0)
    model = MODELS.build(config(**overrides))
    model.init_weights()
    return model


def batch(model, tasks=(('det', 'ins', 'sem', 'cap'),) * 2, training=True):
    samples = [labelled_sample(size=SIZE, boxes=((8, 8, 56, 48),), tasks=t, seed=i) for i, t in enumerate(tasks)]
    images = [torch.randint(0, 255, (3, *SIZE), dtype=torch.uint8) for _ in samples]
    for sample in samples:
        if 'cap' not in sample.labelled_tasks:
            del sample.caption_view
    return model.data_preprocessor(dict(inputs=images, data_samples=samples), training)


TERMS = {
    *(f'loss_det_{term}{branch}' for term in ('cls', 'bbox', 'dfl') for branch in ('', '_o2o', '_aux')),
    *(f'{name}{branch}' for name in ('loss_ins_mask', 'loss_sem_pixel', 'loss_sem_dice') for branch in ('', '_aux')),
    'loss_cap_ce',
}


def test_every_branch_learns():
    model = build().train()
    losses = model(**batch(model), mode='loss')
    assert set(losses) == TERMS
    assert all(torch.isfinite(value) and value > 0 for value in losses.values())
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert not parameter.requires_grad or parameter.grad is not None, name


@pytest.mark.parametrize('tasks', [('cap',), ('det', 'ins'), ('sem',), ()])
def test_partly_labelled_batches_reach_every_parameter(tasks):
    """DistributedDataParallel would wait for what gets no gradient."""
    model = build().train()
    losses = model(**batch(model, (tasks, tasks)), mode='loss')
    assert set(losses) == TERMS
    labelled = {'det': 'loss_det_cls', 'sem': 'loss_sem_pixel_aux', 'cap': 'loss_cap_ce'}
    assert all((float(losses[name].detach()) > 0) == (task in tasks) for task, name in labelled.items())
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert not parameter.requires_grad or parameter.grad is not None, name


def test_auxiliary_weight_scales_auxiliary_losses_only():
    model = build().eval()
    inputs = batch(model)
    once = model(**inputs, mode='loss')
    for head in model.vision_heads.values():
        assert head.auxiliary_weight == 0.25
        head.auxiliary_weight = 0.5
    twice = model(**inputs, mode='loss')
    for name in TERMS:
        factor = 2 if name.endswith('_aux') else 1
        assert float(twice[name].detach()) == pytest.approx(factor * float(once[name].detach()), rel=1e-5), name


def test_one_to_one_branches_leave_the_trunk_alone():
    model = build().train()
    losses = model(**batch(model), mode='loss')
    sum(value for name, value in losses.items() if name.endswith('_o2o')).backward()
    with_gradient = {
        n.split('.')[2] for n, p in model.named_parameters() if p.grad is not None and n.startswith('heads')
    }
    assert with_gradient == {'one_to_one'}
    assert not any(p.grad is not None for p in [*model.backbone.parameters(), *model.neck.parameters()])


def test_one_to_one_branches_start_as_the_main_ones():
    head = build().heads['det']
    main, twin = head.main.state_dict(), head.one_to_one.state_dict()
    assert all(torch.equal(twin[name], value) for name, value in main.items())


def predictions(model, inputs):
    with torch.no_grad():
        return model(copy.deepcopy(inputs['inputs']), copy.deepcopy(inputs['data_samples']), mode='predict')


@pytest.mark.parametrize('deployed', [False, True])
def test_a_caption_alone_needs_no_results_of_other_heads(deployed, monkeypatch):
    model = build().eval()
    if deployed:
        model.switch_to_deploy()
    inputs = batch(model, training=False)
    whole = predictions(model, inputs)
    for task in ('det', 'ins', 'sem'):
        monkeypatch.setattr(model.heads[task], 'predict', None)
    monkeypatch.setattr(model.heads['ins'], 'forward', None)
    with torch.no_grad():
        alone = model(**copy.deepcopy(inputs), mode='predict', tasks=('cap',))
    for sample, other in zip(alone, whole, strict=True):
        assert torch.equal(sample.pred_caption_ids, other.pred_caption_ids)
        assert sample.pred_caption_score == pytest.approx(other.pred_caption_score, abs=1e-6)
        assert 'pred_instances' not in sample and 'pred_sem_seg' not in sample


@pytest.mark.parametrize('test_cfg', [None, dict(branch='one_to_many'), dict(nms=dict(type='nms', iou_threshold=0.5))])
def test_deploy_form_predicts_the_same(test_cfg):
    model = build()
    model.heads['det'].test_cfg.update({} if test_cfg is None else MODELS.build(config_det(test_cfg)).test_cfg)
    for _ in range(2):
        model.train()(**batch(model), mode='loss')
    model.eval()
    inputs = batch(model, training=False)
    before, names = predictions(model, inputs), set(model(inputs['inputs'], mode='tensor'))
    model.switch_to_deploy()
    size = count(model)
    for _ in range(2):
        after = predictions(model, inputs)
        for one, other in zip(before, after, strict=True):
            same_instances(one.pred_instances, other.pred_instances)
            assert (one.pred_sem_seg.sem_seg == other.pred_sem_seg.sem_seg).float().mean() > 0.999
            assert one.pred_caption_ids.tolist() == other.pred_caption_ids.tolist()
        model.switch_to_deploy()
        assert count(model) == size
    assert set(model(inputs['inputs'], mode='tensor')) == names
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())


def config_det(test_cfg):
    return {**config()['heads']['det'], 'test_cfg': test_cfg}


def same_instances(one: InstanceData, other: InstanceData):
    assert len(one) == len(other)
    assert torch.allclose(one.scores, other.scores, rtol=1e-3, atol=1e-5)
    assert torch.allclose(one.bboxes, other.bboxes, rtol=1e-3, atol=0.05)


def test_deploy_form_cannot_be_trained():
    model = build()
    inputs = batch(model)
    model.switch_to_deploy()
    with pytest.raises(RuntimeError, match='deploy form, which cannot be trained'):
        model(**inputs, mode='loss')


def test_heads_say_what_they_need():
    cfg = config()
    cfg['auxiliary'] = None
    with pytest.raises(ValueError, match=r"'det' needs \['auxiliary'\], which neither another head nor an auxiliary"):
        MODELS.build(cfg)
    cfg = config()
    cfg['heads'].pop('sem')
    with pytest.raises(ValueError, match=r"'cap' needs \['sem_feats', 'sem_logits'\]"):
        MODELS.build(cfg)
    cfg = config()
    cfg['heads']['det']['one_to_one'] = False
    with pytest.raises(ValueError, match=r"'cap' needs \['o2o_cls_logits'\]"):
        MODELS.build(cfg)


def test_tensor_mode_traces():
    model = build().eval()
    images = torch.rand(1, 3, *SIZE)
    expected = model(images, mode='tensor')
    assert {'cls_logits', 'box_dists', 'mask_coefs', 'mask_protos', 'sem_logits', 'cap_logits'} <= set(expected)
    traced = torch.jit.trace(model, images, strict=False)
    found = traced(images)
    assert all(torch.allclose(found[name], value, atol=1e-5) for name, value in expected.items())


def test_a_gyolo_overfits_two_pictures():
    """Losses fall in a few steps, captions included: the wiring carries gradients where they are needed."""
    model = build().train()
    inputs = batch(model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    history = []
    for _ in range(30):
        losses = model(**inputs, mode='loss')
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append({name: float(value.detach()) for name, value in losses.items()})
    for name in ('loss_cap_ce', 'loss_sem_pixel', 'loss_det_bbox', 'loss_det_bbox_o2o', 'loss_ins_mask'):
        assert history[-1][name] < 0.7 * history[0][name], name
