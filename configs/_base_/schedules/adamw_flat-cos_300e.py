# AdamW with one learning rate for the image encoder and the text decoder, as the paper found best; flat, then cosine.
max_epochs = 300
base_lr = 0.004

train_cfg = dict(type='mmyolor_mtl.ResumableEpochLoop', max_epochs=max_epochs, val_interval=10)

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmyolor_mtl.MTLOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=base_lr, betas=(0.937, 0.999), eps=1e-4, weight_decay=0.005, fused=True),
    # Norms, biases and implicit knowledge do not decay. The caption head is clipped by itself.
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={'.implicit': dict(decay_mult=0.0), 'heads.cap.': dict(lr_mult=1.0, max_norm=1.0)},
    ),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.125,
        begin=max_epochs // 2,
        T_max=max_epochs - max_epochs // 2,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(enable=False, base_batch_size=64)
