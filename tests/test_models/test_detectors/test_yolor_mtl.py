import copy

import pytest
import torch
from mmdet.structures import DetDataSample

from mmyolor_mtl.registry import MODELS

from ..helpers import labelled_sample, tiny_model

LOSSES = {
    'det': {'loss_det_cls', 'loss_det_bbox', 'loss_det_dfl'},
    'ins': {'loss_ins_mask'},
    'sem': {'loss_sem_pixel', 'loss_sem_dice'},
    'cap': {'loss_cap_ce'},
}


def build(tasks=('det', 'ins', 'sem', 'cap')):
    torch.manual_seed(0)
    cfg = tiny_model()
    cfg['heads'] = {task: cfg['heads'][task] for task in tasks}
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def batch(samples):
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randint(0, 255, (3, 64, 64), generator=generator, dtype=torch.uint8) for _ in samples]
    return dict(inputs=inputs, data_samples=copy.deepcopy(samples))


def losses_of(model, samples):
    data = model.data_preprocessor(batch(samples), training=True)
    return model(**data, mode='loss')


def test_all_tasks_train_together():
    model = build()
    losses = losses_of(model, [labelled_sample(), labelled_sample(seed=1)])
    assert set(losses) == set().union(*LOSSES.values())
    sum(losses.values()).backward()
    missing = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []


def test_initialisation_reaches_the_heads():
    biases = [branch.predictor.bias for branch in build().heads['det'].main.cls_branches]
    assert all((bias < -5).all() for bias in biases)


@pytest.mark.parametrize('tasks', [('det',), ('det', 'ins'), ('sem',), ('cap',), ('det', 'sem'), ('sem', 'cap')])
def test_any_subset_of_heads_is_a_model(tasks):
    model = build(tasks)
    losses = losses_of(model, [labelled_sample(), labelled_sample(seed=1)])
    assert set(losses) == set().union(*(LOSSES[task] for task in tasks))
    with torch.no_grad():
        (sample, _) = model.eval().test_step(batch([labelled_sample(), labelled_sample()]))
    assert ('pred_instances' in sample) == ('det' in tasks)
    assert ('pred_sem_seg' in sample) == ('sem' in tasks)
    assert ('pred_caption_score' in sample) == ('cap' in tasks)


@pytest.mark.parametrize('tasks', [(), ('det',), ('cap',), ('sem', 'cap'), ('det', 'ins')])
def test_missing_labels_keep_every_parameter_in_the_graph(tasks):
    model = build()
    samples = [labelled_sample(tasks=tasks), labelled_sample(tasks=tasks)]
    if 'cap' not in tasks:
        for sample in samples:
            del sample.caption_view
    losses = losses_of(model, samples)
    unlabelled = set().union(*(LOSSES[task] for task in LOSSES if task not in tasks))
    assert all(float(losses[name].detach()) == 0 for name in unlabelled)
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_captions_learn_from_their_own_view():
    # In training mode: an untrained network with running statistics hardly sees its input.
    one, other = labelled_sample(seed=0), labelled_sample(seed=0)
    other.caption_view = 255 - other.caption_view
    first, second = (losses_of(build(), [sample, sample]) for sample in (one, other))
    assert not torch.allclose(first['loss_cap_ce'], second['loss_cap_ce'])
    assert all(torch.equal(first[name], second[name]) for name in first if name != 'loss_cap_ce')


def test_some_images_of_the_batch_carry_captions():
    model = build().eval()
    captioned, bare = labelled_sample(), labelled_sample(tasks=('det', 'ins', 'sem'))
    del bare.caption_view
    mixed, alone = losses_of(model, [bare, captioned]), losses_of(model, [captioned])
    assert torch.allclose(mixed['loss_cap_ce'], alone['loss_cap_ce'], rtol=1e-5)


def test_predictions_of_all_tasks_have_the_size_of_the_picture():
    model = build().eval()
    sample = labelled_sample()
    sample.set_metainfo(
        dict(ori_shape=(50, 100), img_shape=(64, 64), pad_param=(16, 16, 0, 0), scale_factor=(0.64, 0.64))
    )
    with torch.no_grad():
        (result,) = model.test_step(batch([sample]))
    assert isinstance(result, DetDataSample)
    assert result.pred_instances.masks.shape[1:] == (50, 100)
    assert result.pred_sem_seg.sem_seg.shape == result.pred_panoptic_seg.sem_seg.shape == (1, 50, 100)
    assert result.pred_instances.bboxes.shape == (len(result.pred_instances), 4)
    assert result.pred_caption_score <= 0


def test_no_panoptic_map_where_the_config_says_none():
    model = MODELS.build({**tiny_model(), 'test_cfg': dict(panoptic=None)}).eval()
    assert 'pan' not in model.tasks
    with torch.no_grad():
        (result,) = model.test_step(batch([labelled_sample()]))
    assert 'pred_sem_seg' in result and 'pred_panoptic_seg' not in result


def test_tensor_mode_gives_named_outputs_and_traces():
    model = build().eval()
    inputs = torch.rand(1, 3, 64, 64)
    outputs = model(inputs)
    shapes = {name: tuple(value.shape) for name, value in outputs.items()}
    assert shapes == dict(
        cls_logits=(1, 84, 4),
        box_dists=(1, 84, 64),
        mask_coefs=(1, 84, 8),
        mask_protos=(1, 8, 16, 16),
        sem_logits=(1, 6, 16, 16),
        cap_logits=(1, 1, 20),
    )
    traced = torch.jit.trace(model, inputs, strict=False)
    other = torch.rand(1, 3, 64, 64)
    for name, value in traced(other).items():
        assert torch.allclose(value, model(other)[name], atol=1e-4), name


def test_wrong_heads_are_named():
    with pytest.raises(ValueError, match='heads is empty'):
        MODELS.build({**tiny_model(), 'heads': {}})
    cfg = tiny_model()
    with pytest.raises(ValueError, match=r"heads\['dett'\] is a YOLORDetectionHead, a head for the task 'det'"):
        MODELS.build({**cfg, 'heads': dict(dett=cfg['heads']['det'])})
    with pytest.raises(ValueError, match=r"heads\['sem'\] is a YOLORDetectionHead"):
        MODELS.build({**cfg, 'heads': dict(sem=cfg['heads']['det'])})
    with pytest.raises(ValueError, match=r'test_cfg of YOLORMTL takes the key panoptic.*score_thr'):
        MODELS.build({**cfg, 'test_cfg': dict(score_thr=0.1)})
    with pytest.raises(ValueError, match=r"the head for 'ins' needs .*'assignment'"):
        MODELS.build({**cfg, 'heads': dict(ins=cfg['heads']['ins'])})


def test_frozen_parts_keep_their_statistics():
    model = build()
    model.backbone.requires_grad_(False)
    model.heads['sem'].requires_grad_(False)
    model.train()
    assert model.neck.training and model.heads['det'].training
    assert not any(part.training for part in model.backbone.modules())
    assert not any(part.training for part in model.heads['sem'].modules())
    before = copy.deepcopy(model.backbone.state_dict())
    losses_of(model, [labelled_sample(), labelled_sample(seed=1)])
    assert all(torch.equal(value, before[name]) for name, value in model.backbone.state_dict().items())
    model.requires_grad_(True)
    assert all(part.training for part in model.train().modules())


def test_captions_alone_are_trained_without_the_strong_view():
    model = build()
    model.requires_grad_(False)
    model.heads['cap'].requires_grad_(True)
    model.train()
    losses = losses_of(model, [labelled_sample(), labelled_sample(seed=1)])
    assert set(losses) == LOSSES['cap']
    losses['loss_cap_ce'].backward()
    assert all(p.grad is not None for p in model.heads['cap'].parameters())
    model.requires_grad_(True)
    model.heads['cap'].requires_grad_(False)
    assert set(losses_of(model.train(), [labelled_sample()])) == LOSSES['det'] | LOSSES['ins'] | LOSSES['sem']


def calls_of(model):
    """Names of the parts that a forward pass runs, in order."""
    calls = []
    for name, part in {'backbone': model.backbone, 'neck': model.neck, **model.heads}.items():
        # Heads are called by their methods, whatever these are: what runs is their convolutions and attention.
        leaf = next(m for m in part.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear))
        leaf.register_forward_hook(lambda *_, name=name: calls.append(name))
    return calls


FIELDS = ('pred_instances', 'pred_sem_seg', 'pred_panoptic_seg', 'pred_caption_ids')


@pytest.mark.parametrize(
    ('tasks', 'run', 'fields'),
    [
        (('det',), {'neck', 'det'}, {'pred_instances'}),
        (('ins',), {'neck', 'det', 'ins'}, {'pred_instances'}),
        (('sem',), {'neck', 'sem'}, {'pred_sem_seg'}),
        (('cap',), {'cap'}, {'pred_caption_ids'}),
        (('pan',), {'neck', 'det', 'ins', 'sem'}, {'pred_panoptic_seg'}),
        (('det', 'cap'), {'neck', 'det', 'cap'}, {'pred_instances', 'pred_caption_ids'}),
        (('sem', 'pan'), {'neck', 'det', 'ins', 'sem'}, {'pred_sem_seg', 'pred_panoptic_seg'}),
    ],
)
def test_only_the_wanted_tasks_run(tasks, run, fields):
    model = build().eval()
    data = model.data_preprocessor(batch([labelled_sample(), labelled_sample()]))
    with torch.no_grad():
        everything = model(**copy.deepcopy(data), mode='predict')
        calls = calls_of(model)
        samples = model(**data, mode='predict', tasks=tasks)
    assert set(calls) == run | {'backbone'}
    for sample, whole in zip(samples, everything, strict=True):
        assert {field for field in FIELDS if field in sample} == fields
        assert all(field in whole for field in FIELDS)
        if 'pred_instances' in sample:
            assert torch.equal(sample.pred_instances.bboxes, whole.pred_instances.bboxes)
            assert ('masks' in sample.pred_instances) == ('ins' in tasks)
        for field in fields & {'pred_sem_seg', 'pred_panoptic_seg'}:
            assert torch.equal(sample.get(field).sem_seg, whole.get(field).sem_seg)


def test_tasks_that_a_model_does_not_have():
    model = build(('det', 'sem'))
    assert model.tasks == ('det', 'sem') and build().tasks == ('det', 'ins', 'sem', 'cap', 'pan')
    for wrong in (('cap',), ('pan',), (), 'det'):
        with pytest.raises(ValueError, match=r"give some of \('det', 'sem'\)"):
            model.wanted_tasks(wrong)


@pytest.mark.parametrize(('tasks', 'lowest'), [(('ins',), 0.4), (('ins', 'pan'), 0.3), (None, 0.3)])
def test_unwanted_detections_get_no_masks(tasks, lowest):
    model = build().eval()
    model.test_cfg = dict(panoptic=dict(num_things=4, num_evaluated=6, score_thr=0.3))
    model.heads['det'].test_cfg.update(score_thr=0.0, max_per_img=40)
    for branch in model.heads['det'].main.cls_branches:
        torch.nn.init.normal_(branch.predictor.bias, std=2.0)
    data = model.data_preprocessor(batch([labelled_sample(), labelled_sample()]))
    with torch.no_grad():
        everything = model(**copy.deepcopy(data), mode='predict')
        samples = model(**data, mode='predict', tasks=tasks, min_score=0.4)
    for sample, whole in zip(samples, everything, strict=True):
        keep = whole.pred_instances.scores >= lowest
        assert 0 < keep.sum() < len(keep)
        wanted = whole.pred_instances[keep]
        for name in ('bboxes', 'scores', 'labels', 'masks'):
            assert torch.equal(sample.pred_instances[name], wanted[name])
        if 'pred_panoptic_seg' in sample:
            assert torch.equal(sample.pred_panoptic_seg.sem_seg, whole.pred_panoptic_seg.sem_seg)
