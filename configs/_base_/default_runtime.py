default_scope = 'mmdet'
custom_imports = dict(imports=['mmyolor_mtl'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='mmyolor_mtl.MTLCheckpointHook', interval=1, max_keep_ckpts=3, save_best='auto'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='DetVisualizationHook'),
    # Average of the weights and of the batch statistics; it is what is evaluated and saved.
    ema=dict(
        type='EMAHook',
        ema_type='ExpMomentumEMA',
        momentum=0.0001,
        gamma=2000,
        update_buffers=True,
        strict_load=False,
        priority=49,
    ),
    guard=dict(type='mmyolor_mtl.NonFiniteGuardHook'),
    tokenizer=dict(type='mmyolor_mtl.TokenizerMetaHook'),
    progress=dict(type='mmyolor_mtl.MTLProgressHook'),
    eval_table=dict(type='mmyolor_mtl.EvalTableHook'),
)
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
# Several processes: each has the batch statistics of its own images; SyncBN shares them (docs, Training).
model_wrapper_cfg = dict(type='mmyolor_mtl.MTLDistributedDataParallel', broadcast_buffers=False)
visualizer = dict(type='mmyolor_mtl.MTLLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
log_level = 'INFO'
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
tta_model = dict(type='mmyolor_mtl.RefusedTTA')  # says why there is no test-time augmentation
load_from = None
resume = False
