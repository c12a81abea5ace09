# A full Transformer: an encoder of as many layers as the decoder has stands before it.
_base_ = './yolor-mtl_elan-w25_det-ins-sem-cap_ablation_shapes.py'

model = dict(heads=dict(cap=dict(num_encoder_layers=2)))
