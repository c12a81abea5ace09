# A pair: the semantic map and captions.
_base_ = './yolor-mtl_elan-w25_det-ins-sem-cap_ablation_shapes.py'

model = dict(
    heads=dict(_delete_=True, sem=_base_.model.heads.sem, cap=_base_.model.heads.cap), test_cfg=dict(_delete_=True)
)
val_evaluator = [_base_.val_evaluator[1], _base_.val_evaluator[3]]
test_evaluator = val_evaluator
