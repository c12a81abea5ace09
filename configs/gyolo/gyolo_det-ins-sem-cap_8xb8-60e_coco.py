# Trains gyolo of the reference: all four tasks, with one optimizer and one step for both views.
_base_ = ['../reference/gyolo.py', '../_base_/schedules/adamw_flat-cos_300e.py']

max_epochs = 60
close_mosaic_epochs = 2

# The vocabulary file may have up to 10,202 lines: tools/misc/build_vocab.py --min-count.
model = dict(
    heads=dict(
        cap=dict(
            tokenizer=dict(
                type='mmyolor_mtl.WordTokenizer',
                vocab_file=_base_.data_root + 'annotations/vocab.txt',
                vocab_size=10202,
            )
        )
    )
)
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
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
custom_hooks = [
    dict(
        type='PipelineSwitchHook',
        switch_epoch=max_epochs - close_mosaic_epochs,
        switch_pipeline=_base_.close_mosaic_pipeline,
    )
]
