# The image encoder learns at a tenth of the rate of the text decoder, as in CATR, from which the decoder comes.
_base_ = './yolor-mtl_elan-w25_det-ins-sem-cap_ablation_shapes.py'

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'backbone.': dict(lr_mult=0.1)}))
