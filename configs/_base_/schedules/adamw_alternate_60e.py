# GYOLO's two optimizers in turn, the caption head at half the rate; flat, then cosine, both ending at 0.0005. For a
# model of type BalancedYOLORMTL with the balancer AlternatingSteps.
max_epochs = 60
base_lr = 0.004

train_cfg = dict(type='mmyolor_mtl.ResumableEpochLoop', max_epochs=max_epochs, val_interval=5)

adamw = dict(type='AdamW', betas=(0.937, 0.999), eps=1e-4, weight_decay=0.005, fused=True)
no_decay = dict(norm_decay_mult=0.0, bias_decay_mult=0.0, custom_keys={'.implicit': dict(decay_mult=0.0)})
optim_wrapper = dict(
    constructor='mmyolor_mtl.AlternatingOptimWrapperConstructor',
    vision=dict(
        type='OptimWrapper',
        optimizer=dict(lr=base_lr, **adamw),
        paramwise_cfg=no_decay,
        clip_grad=dict(max_norm=10.0),
    ),
    language=dict(
        type='OptimWrapper',
        optimizer=dict(lr=base_lr / 2, **adamw),
        paramwise_cfg=no_decay,
        clip_grad=dict(max_norm=1.0),
    ),
)
cosine = dict(
    type='CosineAnnealingLR',
    eta_min=0.0005,
    begin=max_epochs // 2,
    T_max=max_epochs - max_epochs // 2,
    end=max_epochs,
    by_epoch=True,
)
param_scheduler = dict(
    vision=[
        # Biases start at 0.01. The caption head has no warm-up.
        dict(
            type='mmyolor_mtl.GroupWarmupLR',
            bias_factor=0.01 / base_lr,
            by_epoch=True,
            begin=0,
            end=0.6,
            convert_to_iter_based=True,
        ),
        cosine,
    ],
    language=[cosine],
)
auto_scale_lr = dict(enable=False, base_batch_size=64)
