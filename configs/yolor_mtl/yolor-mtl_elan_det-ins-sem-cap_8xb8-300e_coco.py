# The paper's network: 80.0M parameters, four tasks, COCO, from scratch.
_base_ = [
    '../_base_/datasets/coco_mtl.py',
    '../_base_/models/yolor-mtl_elan.py',
    '../_base_/schedules/adamw_flat-cos_300e.py',
    '../_base_/default_runtime.py',
]

close_mosaic_epochs = 10

model = dict(heads=dict(cap=dict(tokenizer=_base_.tokenizer)))
custom_hooks = [
    dict(
        type='PipelineSwitchHook',
        switch_epoch=_base_.max_epochs - close_mosaic_epochs,
        switch_pipeline=_base_.close_mosaic_pipeline,
    )
]
