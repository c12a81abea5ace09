# Captions alone, with the trunk and the schedule of all four tasks. No head looks at a strong view, so there is none;
# and none reads the neck, which stays as it is.
_base_ = './yolor-mtl_elan-w25_det-ins-sem-cap_ablation_shapes.py'

model = dict(heads=dict(_delete_=True, cap=_base_.model.heads.cap), test_cfg=dict(_delete_=True))
train_pipeline = [*_base_.load_labels, *_base_.weak_view, _base_.letterbox, _base_.colour_and_flip[-1]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
custom_hooks = []
val_evaluator = _base_.val_evaluator[3:]
test_evaluator = val_evaluator
model_wrapper_cfg = dict(find_unused_parameters=True)
default_hooks = dict(checkpoint=dict(save_best='cap/CIDEr', rule='greater'))
