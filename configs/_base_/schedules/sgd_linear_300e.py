# SGD as the released vision code trains: a step for about 64 images whatever the batch, learning rate falling linearly.
max_epochs = 300
warmup_epochs = 3
base_lr = 0.01
nominal_batch = 64

train_cfg = dict(type='mmyolor_mtl.ResumableEpochLoop', max_epochs=max_epochs, val_interval=10)

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmyolor_mtl.MTLOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=base_lr, momentum=0.937, nesterov=True, weight_decay=0.0005, fused=True),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={'.implicit': dict(decay_mult=0.0), 'heads.cap.': dict(lr_mult=1.0, max_norm=1.0)},
    ),
    clip_grad=dict(max_norm=10.0),
)
warmup = dict(by_epoch=True, begin=0, end=warmup_epochs, convert_to_iter_based=True)
param_scheduler = [
    # Biases fall from 0.1 to the learning rate while the others rise from 0.
    dict(type='mmyolor_mtl.GroupWarmupLR', bias_factor=0.1 / base_lr, **warmup),
    dict(type='LinearMomentum', start_factor=0.8 / 0.937, **warmup),
    # One epoch longer than the training, as the last epoch's rate is one step above the end.
    dict(type='LinearLR', start_factor=1.0, end_factor=0.01, by_epoch=True, begin=0, end=max_epochs + 1),
]
custom_hooks = [dict(type='mmyolor_mtl.NominalBatchHook', nominal_batch=nominal_batch)]
auto_scale_lr = dict(enable=False, base_batch_size=nominal_batch)
