# Captions alone by a full Transformer: an encoder of as many layers as the decoder has stands before it.
_base_ = './yolor-mtl_elan-w25_det-ins-sem-cap_ablation_shapes.py'

model = dict(
    heads=dict(_delete_=True, cap=dict(num_encoder_layers=2, **_base_.model.heads.cap)), test_cfg=dict(_delete_=True)
)
train_pipeline = [*_base_.load_labels, *_base_.weak_view, _base_.letterbox, _base_.colour_and_flip[-1]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
custom_hooks = []
val_evaluator = _base_.val_evaluator[3:]
test_evaluator = val_evaluator
model_wrapper_cfg = dict(find_unused_parameters=True)
default_hooks = dict(checkpoint=dict(save_best='cap/CIDEr', rule='greater'))
