# A semantic head that adds three levels, in place of one convolution on the finest.
_base_ = './yolor-mtl_elan-w25_det-ins-sem-cap_ablation_shapes.py'

model = dict(heads=dict(sem=dict(hidden_channels=64, num_levels=3)))
