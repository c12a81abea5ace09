# Self-critical training of the caption head after `make demo`: sentences are rewarded by their CIDEr. The other tasks
# stay exactly as they are, since nothing but the caption head is trained.
_base_ = './yolor-mtl_elan-w25_det-ins-sem-cap_demo_shapes.py'

# ---------------------------------------------------------------- what people change
load_from = 'work_dirs/demo/epoch_3.pth'
max_epochs = 3
base_lr = 0.0002
batch_size = 16
num_captions = 5

# ---------------------------------------------------------------- data: pictures as they are, with all their sentences
train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='mmyolor_mtl.LoadMTLAnnotations', tasks=('cap',)),
    dict(type='mmyolor_mtl.CaptionView', scale=_base_.img_scale),
    dict(type='mmyolor_mtl.Letterbox', scale=_base_.img_scale),
    dict(type='mmyolor_mtl.PackMTLInputs'),
]
train_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline=train_pipeline))

# ---------------------------------------------------------------- schedule
train_cfg = dict(max_epochs=max_epochs, val_interval=1)
optim_wrapper = dict(optimizer=dict(lr=base_lr))
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20)]
default_hooks = dict(ema=dict(momentum=0.02, gamma=50))
custom_hooks = [
    dict(
        type='mmyolor_mtl.SelfCriticalHook',
        loss=dict(
            type='SelfCriticalLoss',
            caption_file=_base_.data_root + 'annotations/captions_train2017.json',
            num_captions=num_captions,
            max_length=32,
        ),
    )
]
