# The semantic loss on logits upsampled to every pixel, in place of a quarter of the side.
_base_ = './yolor-mtl_elan-w25_det-ins-sem-cap_ablation_shapes.py'

pack = dict(type='mmyolor_mtl.PackMTLInputs', sem_stride=1)
model = dict(heads=dict(sem=dict(out_stride=1)))
train_dataloader = dict(dataset=dict(pipeline=[*_base_.train_pipeline[:-1], pack]))
custom_hooks = [
    dict(
        type='PipelineSwitchHook',
        switch_epoch=_base_.max_epochs - _base_.close_mosaic_epochs,
        switch_pipeline=[*_base_.close_mosaic_pipeline[:-1], pack],
    )
]
