# The text decoder learns at a tenth of the rate of the image encoder.
_base_ = './yolor-mtl_elan-w25_det-ins-sem-cap_ablation_shapes.py'

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'heads.cap.': dict(lr_mult=0.1)}))
