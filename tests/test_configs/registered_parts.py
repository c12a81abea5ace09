"""What every registered class that is no network is built from, and what it is tried on.

An entry of ``PARTS`` takes the workplace (``scenes``, ``folder``) and the type's name, builds the class through
MMEngine's own registries, as another project does, and fails if it does not do its work.
"""

import json
import os
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    INFERENCERS,
    METRICS,
    MODEL_WRAPPERS,
    MODELS,
    OPTIM_WRAPPERS,
    PARAM_SCHEDULERS,
    TASK_UTILS,
    TRANSFORMS,
    VISUALIZERS,
)

from mmyolor_mtl.datasets.shapes import SHAPES_METAINFO
from mmyolor_mtl.models.text import BPETokenizer, WordPieceTokenizer, WordTokenizer
from mmyolor_mtl.registry import TOKENIZERS

from ..test_engine.toy import toy_config, train
from ..test_models.helpers import labelled_sample, tiny_model
from ..test_train.conftest import tiny_config

SIZE = 64
TRAIN = dict(
    ann_file='annotations/instances_train2017.json',
    caption_file='annotations/captions_train2017.json',
    data_prefix=dict(img='train2017/', seg='stuffthingmaps/train2017/'),
)
LOAD = [dict(type='LoadImageFromFile'), dict(type='mmyolor_mtl.LoadMTLAnnotations')]
TEXTS = ['a red car on a grey road', 'two dogs in green grass']


# ------------------------------------------------------------------ data


def shapes(workplace, kind='mmyolor_mtl.ShapesDataset', pipeline=LOAD, **kwargs):
    return DATASETS.build(dict(type=kind, data_root=str(workplace.scenes), pipeline=list(pipeline), **TRAIN, **kwargs))


def try_dataset(workplace, kind, **kwargs):
    dataset = shapes(workplace, kind, **kwargs)
    sample = dataset[0]
    assert len(dataset) == 12 and sample['img'].shape == (SIZE, SIZE, 3) and len(sample['gt_bboxes'])


def try_mixture(workplace, kind):
    part = dict(type='mmyolor_mtl.ShapesDataset', data_root=str(workplace.scenes), **TRAIN)
    dataset = DATASETS.build(dict(type=kind, datasets=[dict(part), dict(part)], pipeline=LOAD))
    assert len(dataset) == 24 and dataset[13]['img'].shape == (SIZE, SIZE, 3)
    return dataset


def try_sampler(workplace, kind, **kwargs):
    dataset = try_mixture(workplace, 'mmyolor_mtl.MixedDataset')
    sampler = DATA_SAMPLERS.build(dict(type=kind, dataset=dataset, seed=1, **kwargs))
    order = [int(index) for index in sampler]
    assert len(order) == len(sampler) and {index % 24 for index in order} == set(range(24))


def try_transform(workplace, kind, *before, changes, **kwargs):
    """A transform behind others, the keys of the sample that it must add or change."""
    dataset = shapes(workplace)
    sample = {**dataset.get_data_info(0), 'dataset': dataset}
    for config in before:
        sample = TRANSFORMS.build(config)(sample)
    old = {key: np.copy(sample[key]) if isinstance(sample.get(key), np.ndarray) else sample.get(key) for key in changes}
    transform = TRANSFORMS.build(dict(type=kind, **kwargs))
    after = transform(sample)
    for key in changes:
        same = np.array_equal(old[key], after[key]) if isinstance(after[key], np.ndarray) else old[key] is after[key]
        assert not same, key
    assert type(transform).__name__ in repr(transform)


def transform(*before, changes, **kwargs):
    def run(workplace, kind):
        arguments = dict(kwargs)
        if 'tokenizer' in arguments:
            arguments['tokenizer'] = dict(type='mmyolor_mtl.WordTokenizer', vocab_file=str(vocabulary(workplace)))
        try_transform(workplace, kind, *before, changes=changes, **arguments)

    return run


def vocabulary(workplace):
    return workplace.scenes / 'annotations/vocab.txt'


def try_tokenizer(workplace, kind, build):
    build(TEXTS).save(workplace.folder / 'vocab')
    tokenizer = TOKENIZERS.build(dict(type=kind, _scope_='mmyolor_mtl', vocab_file=str(workplace.folder / 'vocab')))
    assert tokenizer.decode(tokenizer.encode(TEXTS[0], 40)) == TEXTS[0].capitalize()


# ------------------------------------------------------------------ training


def network():
    config = tiny_model()
    model = MODELS.build(config)
    model.init_weights()
    return model.train()


def batch():
    samples = [labelled_sample(seed=0), labelled_sample(seed=1)]
    return dict(inputs=[sample.caption_view.clone() for sample in samples], data_samples=samples)


def step(model, optim_wrapper):
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    losses = model.train_step(batch(), optim_wrapper)
    assert all(torch.isfinite(torch.as_tensor(value)).all() for value in losses.values())
    parameters = dict(model.named_parameters())
    assert all(torch.isfinite(parameters[name]).all() for name in before)
    assert any(not torch.equal(parameters[name], value) for name, value in before.items())


def try_constructor(workplace, kind, **settings):
    model = network()
    optim_wrapper = build_optim_wrapper(model, dict(constructor=kind, **settings))
    step(model, optim_wrapper)
    other = build_optim_wrapper(model, dict(constructor=kind, **settings))
    other.load_state_dict(optim_wrapper.state_dict())


def try_alternating(workplace, kind):
    views = {view: dict(optimizer=dict(type='SGD', lr=0.01)) for view in ('vision', 'language')}
    model = network()
    wrappers = build_optim_wrapper(model, dict(constructor=kind, **views))
    parts = [{id(p) for group in wrappers[view].optimizer.param_groups for p in group['params']} for view in views]
    captions = {id(p) for p in model.heads['cap'].parameters()}
    assert parts[1] and parts[1] <= captions and parts[0] and not parts[0] & captions


def try_optim_wrapper(workplace, kind):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    optim_wrapper = OPTIM_WRAPPERS.build(dict(type=kind, optimizer=optimizer))
    step(model, optim_wrapper)
    OPTIM_WRAPPERS.build(dict(type=kind, optimizer=optimizer)).load_state_dict(optim_wrapper.state_dict())


def try_schedule(workplace, kind):
    optim_wrapper = build_optim_wrapper(
        network(), dict(constructor='mmyolor_mtl.MTLOptimWrapperConstructor', optimizer=dict(type='SGD', lr=0.01))
    )
    build = partial(PARAM_SCHEDULERS.build, dict(type=kind, optimizer=optim_wrapper, bias_factor=10.0, end=4))
    schedule, rates = build(), []
    for _ in range(5):
        rates.append({group.get('kind'): group['lr'] for group in optim_wrapper.param_groups})
        optim_wrapper.optimizer.step()
        schedule.step()
    assert rates[0].pop('bias') > 0.05 > max(rates[0].values())
    assert len({round(rate, 9) for rate in rates[-1].values()}) == 1
    state = schedule.state_dict()
    other = build()
    other.load_state_dict(state)
    assert other.last_step == schedule.last_step


def try_model_wrapper(workplace, kind):
    store = torch.distributed.FileStore(str(workplace.folder / 'store'), 1)
    torch.distributed.init_process_group('gloo', store=store, rank=0, world_size=1)
    try:
        model = network()
        wrapper = MODEL_WRAPPERS.build(dict(type=kind, module=model, broadcast_buffers=False))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        step(wrapper, OPTIM_WRAPPERS.build(dict(type='OptimWrapper', optimizer=optimizer)))
        assert list(wrapper.state_dict()) == [f'module.{name}' for name in model.state_dict()]
    finally:
        torch.distributed.destroy_process_group()


def run_hook(workplace, kind, **kwargs):
    """A run of two epochs with the hook, saved and resumed."""
    cfg = toy_config(workplace.folder / 'run', hooks=[dict(type=kind, **kwargs)])
    runner = train(cfg)
    assert kind.split('.')[1] in [type(hook).__name__ for hook in runner.hooks] and runner.iter == 8
    assert (workplace.folder / 'run/epoch_2.pth').is_file()
    assert type(runner.train_loop).__name__ == 'ResumableEpochLoop'
    cfg.resume, cfg.train_cfg.max_epochs = True, 3
    cfg.experiment_name += '_resumed'
    assert train(cfg).iter == 12


def watch_gradients(workplace, kind):
    model, seen = network(), {}
    runner = SimpleNamespace(
        model=model,
        iter=0,
        epoch=0,
        work_dir=workplace.folder,
        optim_wrapper=build_optim_wrapper(model, dict(optimizer=dict(type='SGD', lr=0.01))),
        visualizer=SimpleNamespace(add_scalars=lambda values, step: seen.update(values)),
    )
    hook = HOOKS.build(dict(type=kind, layers=['neck.spp'], interval=1))
    hook.before_run(runner)
    hook.before_train_iter(runner, 0, batch())
    assert -1 <= seen['conflict/neck.spp/cosine/det-sem'] <= 1 and all(p.grad is None for p in model.parameters())


def run(workplace, kind):
    """What every run of the toy has: its loop and its checkpoint hook."""
    run_hook(workplace, 'mmyolor_mtl.NonFiniteGuardHook')


# ------------------------------------------------------------------ evaluation


def dump_of(trained_samples, dataset, metric):
    metric.dataset_meta = dataset.metainfo
    metric.process(None, trained_samples)
    return metric.evaluate(len(trained_samples))


def perfect_samples(workplace):
    """Samples that predict their own labels, as an evaluator gets them."""
    pipeline = [*LOAD, dict(type='mmyolor_mtl.PackMTLInputs')]
    samples = []
    dataset = shapes(workplace, pipeline=pipeline)
    for index in range(4):
        sample = dataset[index]['data_samples']
        found = sample.gt_instances.clone()
        found.scores = torch.ones(len(found))
        found.masks = torch.from_numpy(found.masks.to_ndarray()).bool()
        sample.pred_instances, sample.pred_sem_seg = found, sample.gt_sem_seg.clone()
        sample.pred_panoptic_seg = sample.gt_sem_seg.clone()
        sample.pred_panoptic_seg.sem_seg = sample.gt_sem_seg.sem_seg.long()
        sample.pred_caption = sample.gt_captions[0]
        samples.append(sample.to_dict())
    return dataset, samples


def try_metric(workplace, kind, figure, least, **kwargs):
    dataset, samples = perfect_samples(workplace)
    figures = dump_of(samples, dataset, METRICS.build(dict(type=kind, **kwargs)))
    assert figures[figure] >= least, figures


def try_dump(workplace, kind):
    dataset, samples = perfect_samples(workplace)
    path = workplace.folder / 'all.pkl'
    dump_of(samples, dataset, METRICS.build(dict(type=kind, out_file_path=str(path))))
    assert path.stat().st_size > 1000


def try_visualizer(workplace, kind):
    dataset = shapes(workplace, pipeline=[*LOAD, dict(type='mmyolor_mtl.PackMTLInputs')])
    visualizer = VISUALIZERS.build(dict(type=kind, name=f'everything {os.getpid()}'))
    visualizer.dataset_meta = dataset.metainfo
    packed = dataset[0]
    pixels = packed['inputs'].numpy()[::-1].transpose(1, 2, 0)
    out_file = workplace.folder / 'shown.png'
    visualizer.add_datasample('shown', pixels, packed['data_samples'], draw_pred=False, out_file=str(out_file))
    assert out_file.stat().st_size > 1000


def try_inferencer(workplace, kind):
    cfg = tiny_config(workplace.scenes, workplace.folder)
    picture = next((workplace.scenes / 'val2017').glob('*.jpg'))
    inferencer = INFERENCERS.build(dict(type=kind, model=cfg, device='cpu', show_progress=False))
    (result,) = inferencer(str(picture))
    json.dumps(result.to_dict())
    assert (result.height, result.width) == (SIZE, SIZE) and result.caption is not None


def try_assigner(workplace, kind):
    levels = [(8, 8, 8), (4, 4, 16), (2, 2, 32)]
    boxes = torch.tensor([[[8.0, 8, 40, 40]]])
    found = TASK_UTILS.build(dict(type=kind)).assign(
        torch.full((1, 84, 3), 0.5), boxes.expand(1, 84, 4), levels, torch.tensor([[2]]), boxes, torch.tensor([[True]])
    )
    assert 1 <= int(found.foreground.sum()) <= 10 and found.scores.max() > 0.9


def try_preprocessor(workplace, kind):
    module = MODELS.build(dict(type=kind))
    out = module(batch(), True)
    assert out['inputs'].shape == out['caption_inputs'].shape == (2, 3, SIZE, SIZE)
    assert out['inputs'].min() >= 0 and out['inputs'].max() <= 1


def try_self_critical(workplace, kind):
    content = [dict(image_id=i, caption=text) for i, text in enumerate(TEXTS)]
    path = workplace.folder / 'captions.json'
    path.write_text(json.dumps(dict(images=[dict(id=i) for i in range(2)], annotations=content)))
    WordTokenizer.build(TEXTS).save(workplace.folder / 'vocab.txt')
    config = tiny_model()['heads']['cap']
    tokenizer = dict(type='mmyolor_mtl.WordTokenizer', vocab_file=str(workplace.folder / 'vocab.txt'))
    head = MODELS.build({**config, 'tokenizer': tokenizer, 'vocab_size': None})
    samples = [labelled_sample(seed=i) for i in range(2)]
    for sample, text in zip(samples, TEXTS, strict=True):
        sample.gt_captions = [text]
    feats = [torch.rand(2, width, size, size) for width, size in zip((32, 64, 64), (8, 4, 2), strict=True)]
    loss = MODELS.build(dict(type=kind, caption_file=str(path), max_length=8))
    loss(head, head.memory(feats), samples).backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)


def try_refusal(workplace, kind):
    with pytest.raises(ValueError, match='--tta is not supported'):
        MODELS.build(dict(type=kind))


MOSAIC = dict(type='mmyolor_mtl.MTLMosaic', img_scale=(SIZE, SIZE))
PARTS = {
    ('MODELS', 'YOLORMTLDataPreprocessor'): try_preprocessor,
    ('MODELS', 'RefusedTTA'): try_refusal,
    ('MODELS', 'SelfCriticalLoss'): try_self_critical,
    ('MODEL_WRAPPERS', 'MTLDistributedDataParallel'): try_model_wrapper,
    ('TASK_UTILS', 'BatchedTaskAlignedAssigner'): try_assigner,
    ('DATASETS', 'ShapesDataset'): try_dataset,
    ('DATASETS', 'COCOMultiTaskDataset'): partial(try_dataset, metainfo=SHAPES_METAINFO),
    ('DATASETS', 'MixedDataset'): try_mixture,
    ('DATA_SAMPLERS', 'MTLSampler'): try_sampler,
    ('DATA_SAMPLERS', 'RatioSampler'): partial(try_sampler, ratios=(1, 1)),
    ('TRANSFORMS', 'LoadMTLAnnotations'): transform(LOAD[0], changes=('gt_bboxes', 'gt_masks', 'gt_seg_map')),
    ('TRANSFORMS', 'CaptionView'): transform(*LOAD, changes=('caption_view',), scale=(32, 32)),
    ('TRANSFORMS', 'TokenizeCaption'): transform(*LOAD, changes=('gt_caption_ids',), tokenizer=None, max_length=40),
    ('TRANSFORMS', 'HSVJitter'): transform(*LOAD, changes=('img',)),
    ('TRANSFORMS', 'RandomFilters'): transform(*LOAD, changes=('img',), prob=1.0),
    ('TRANSFORMS', 'Letterbox'): transform(*LOAD, changes=('img', 'gt_bboxes', 'pad_param'), scale=(96, 80)),
    ('TRANSFORMS', 'MTLMosaic'): transform(*LOAD, changes=('img', 'gt_bboxes', 'gt_seg_map'), img_scale=(SIZE, SIZE)),
    ('TRANSFORMS', 'MTLRandomAffine'): transform(
        *LOAD, MOSAIC, changes=('img', 'gt_bboxes', 'gt_seg_map'), img_scale=(SIZE, SIZE), scaling_ratio_range=(0.5, 1)
    ),
    ('TRANSFORMS', 'MTLMixUp'): transform(*LOAD, changes=('img', 'gt_bboxes'), prob=1.0, pre_transform=LOAD),
    ('TRANSFORMS', 'MTLCopyPaste'): transform(*LOAD, changes=('img', 'gt_bboxes'), prob=1.0, max_hidden=1.0),
    ('TRANSFORMS', 'MTLRandomFlip'): transform(*LOAD, changes=('img', 'gt_bboxes', 'gt_seg_map'), prob=1.0),
    ('TRANSFORMS', 'PackMTLInputs'): transform(*LOAD, changes=('inputs', 'data_samples')),
    ('TOKENIZERS', 'WordTokenizer'): partial(try_tokenizer, build=WordTokenizer.build),
    ('TOKENIZERS', 'WordPieceTokenizer'): partial(
        try_tokenizer, build=lambda texts: WordPieceTokenizer.build(texts, vocab_size=80)
    ),
    ('TOKENIZERS', 'BPETokenizer'): partial(
        try_tokenizer, build=lambda texts: BPETokenizer.build(texts, vocab_size=300)
    ),
    ('OPTIM_WRAPPERS', 'MTLAmpOptimWrapper'): try_optim_wrapper,
    ('OPTIM_WRAPPER_CONSTRUCTORS', 'MTLOptimWrapperConstructor'): partial(
        try_constructor, optimizer=dict(type='AdamW', lr=0.001)
    ),
    # Its step is that of a balancer (test_everything.py).
    ('OPTIM_WRAPPER_CONSTRUCTORS', 'AlternatingOptimWrapperConstructor'): try_alternating,
    ('PARAM_SCHEDULERS', 'GroupWarmupLR'): try_schedule,
    ('LOOPS', 'ResumableEpochLoop'): run,
    ('HOOKS', 'MTLCheckpointHook'): run,
    ('HOOKS', 'ChannelsLastHook'): run_hook,
    ('HOOKS', 'CompileHook'): partial(run_hook, modules=['trunk'], options=dict(backend='eager')),
    ('HOOKS', 'EvalTableHook'): run_hook,
    ('HOOKS', 'FreezeHook'): partial(run_hook, modules=['trunk'], end=1),
    ('HOOKS', 'GradConflictHook'): watch_gradients,
    ('HOOKS', 'MTLProgressHook'): run_hook,
    ('HOOKS', 'NominalBatchHook'): partial(run_hook, nominal_batch=4),
    ('HOOKS', 'NonFiniteGuardHook'): run_hook,
    ('HOOKS', 'TokenizerMetaHook'): run_hook,
    # Its turn to CIDEr is tried with the config that has it (test_every_config.py).
    ('HOOKS', 'SelfCriticalHook'): partial(run_hook, loss=dict(type='SelfCriticalLoss', caption_file='-'), begin=9),
    ('METRICS', 'DetectionMetric'): partial(try_metric, figure='coco/segm_mAP', least=0.99, metric=['bbox', 'segm']),
    ('METRICS', 'SemanticMetric'): partial(try_metric, figure='sem/mIoU', least=1.0),
    ('METRICS', 'PanopticMetric'): partial(try_metric, figure='pan/PQ_st', least=1.0),
    ('METRICS', 'CaptionMetric'): partial(try_metric, figure='cap/Bleu_4', least=0.99),
    ('METRICS', 'DumpMTLResults'): try_dump,
    ('VISUALIZERS', 'MTLLocalVisualizer'): try_visualizer,
    ('INFERENCERS', 'MTLInferencer'): try_inferencer,
}
