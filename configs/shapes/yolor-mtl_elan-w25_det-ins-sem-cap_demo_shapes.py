# What `make demo` trains: a quarter-width network with all four tasks, in minutes on two CPU cores.
_base_ = [
    '../_base_/datasets/shapes_mtl.py',
    '../_base_/models/yolor-mtl_elan.py',
    '../_base_/schedules/adamw_flat-cos_300e.py',
    '../_base_/default_runtime.py',
]

# ---------------------------------------------------------------- what people change
max_epochs = 3
close_mosaic_epochs = 1
base_lr = 0.002
widen_factor = 0.25
num_things = 14
num_stuff = 12

# ---------------------------------------------------------------- model
backbone_channels = (128, 256, 256)
neck_channels = (64, 128, 256)
model = dict(
    backbone=dict(widen_factor=widen_factor),
    neck=dict(in_channels=backbone_channels, widen_factor=widen_factor),
    heads=dict(
        det=dict(num_classes=num_things, in_channels=neck_channels, test_cfg=dict(score_thr=0.01, max_per_img=100)),
        ins=dict(in_channels=neck_channels, proto_channels=64),
        # Things cover a seventh of a scene, each kind a hundredth. In minutes a network learns them only where they
        # weigh more than their pixels: cross-entropy and dice balanced by class, instead of the paper's focal and dice.
        sem=dict(
            num_classes=num_things + num_stuff,
            in_channels=neck_channels,
            hidden_channels=64,
            num_levels=3,
            loss_pixel=dict(_delete_=True, type='mmyolor_mtl.IndexCrossEntropyLoss', balance=0.75, loss_weight=4.0),
            loss_dice=dict(per_class=True, loss_weight=2.0),
        ),
        cap=dict(
            in_channels=backbone_channels,
            embed_dims=128,
            num_layers=2,
            num_heads=4,
            feedforward_channels=512,
            mlp_channels=256,
            dropout=0.0,
            max_length=40,
            vocab_size=None,
            tokenizer=_base_.tokenizer,
            loss_weight=2.0,
            test_cfg=dict(beam_size=5, max_length=32),
        ),
    ),
    test_cfg=dict(panoptic=dict(num_things=num_things, num_evaluated=num_things + num_stuff)),
)

# ---------------------------------------------------------------- schedule
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(
    optimizer=dict(lr=base_lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys={'heads.cap.': dict(_delete_=True, lr_mult=1.0)}),  # one norm for all gradients
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=60),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.02,
        begin=max_epochs // 2,
        T_max=max_epochs - max_epochs // 2,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(logger=dict(interval=50), ema=dict(momentum=0.01, gamma=100), checkpoint=dict(max_keep_ckpts=1))
custom_hooks = [
    dict(
        type='PipelineSwitchHook',
        switch_epoch=max_epochs - close_mosaic_epochs,
        switch_pipeline=_base_.close_mosaic_pipeline,
    )
]
