# A pair: boxes with masks, and captions.
_base_ = './yolor-mtl_elan-w25_det-ins-sem-cap_ablation_shapes.py'

model = dict(
    heads=dict(_delete_=True, det=_base_.model.heads.det, ins=_base_.model.heads.ins, cap=_base_.model.heads.cap),
    test_cfg=dict(_delete_=True),
)
val_evaluator = [_base_.val_evaluator[0], _base_.val_evaluator[3]]
test_evaluator = val_evaluator
