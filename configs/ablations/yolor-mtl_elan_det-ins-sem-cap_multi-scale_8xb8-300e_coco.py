# A semantic head that adds three levels (782,909 parameters; the paper's has 778.8K) in place of the paper's one
# convolution on the finest (44,461).
_base_ = '../yolor_mtl/yolor-mtl_elan_det-ins-sem-cap_8xb8-300e_coco.py'

model = dict(heads=dict(sem=dict(hidden_channels=48, num_levels=3)))
