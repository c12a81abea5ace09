# Implicit knowledge on the branches of boxes, masks and the semantic map.
_base_ = './yolor-mtl_elan-w25_det-ins-sem-cap_ablation_shapes.py'

model = dict(heads=dict(det=dict(implicit=True), ins=dict(implicit=True), sem=dict(implicit=True)))
