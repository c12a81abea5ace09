# The image encoder learns at a tenth of the rate of the text decoder, as in CATR, from which the decoder comes.
_base_ = '../yolor_mtl/yolor-mtl_elan_det-ins-sem-cap_8xb8-300e_coco.py'

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'backbone.': dict(lr_mult=0.1)}))
