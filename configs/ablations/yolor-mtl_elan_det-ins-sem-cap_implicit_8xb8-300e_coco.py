# Implicit knowledge on the branches of boxes, masks and the semantic map.
_base_ = '../yolor_mtl/yolor-mtl_elan_det-ins-sem-cap_8xb8-300e_coco.py'

model = dict(heads=dict(det=dict(implicit=True), ins=dict(implicit=True), sem=dict(implicit=True)))
