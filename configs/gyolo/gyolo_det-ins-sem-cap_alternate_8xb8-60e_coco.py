# As the reference trains gyolo: two optimizers that take turns (docs, Balancing tasks).
_base_ = ['../reference/gyolo.py', '../_base_/schedules/adamw_alternate_60e.py']

max_epochs = 60
close_mosaic_epochs = 2

# The vocabulary file may have up to 10,202 lines: tools/misc/build_vocab.py --min-count.
model = dict(
    type='mmyolor_mtl.BalancedYOLORMTL',
    # clip_scaled=True repeats the released code's clipping under float16, which keeps captions from training the trunk.
    balancer=dict(type='mmyolor_mtl.AlternatingSteps', trunk_max_norm=10.0, clip_scaled=False),
    heads=dict(
        cap=dict(
            tokenizer=dict(
                type='mmyolor_mtl.WordTokenizer',
                vocab_file=_base_.data_root + 'annotations/vocab.txt',
                vocab_size=10202,
            )
        )
    ),
)
custom_hooks = [
    dict(
        type='PipelineSwitchHook',
        switch_epoch=max_epochs - close_mosaic_epochs,
        switch_pipeline=_base_.close_mosaic_pipeline,
    )
]
