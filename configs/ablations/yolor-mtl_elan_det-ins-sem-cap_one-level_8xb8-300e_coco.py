# Decoder only, looking at the coarsest level alone: what the full Transformer is compared with.
_base_ = '../yolor_mtl/yolor-mtl_elan_det-ins-sem-cap_8xb8-300e_coco.py'

model = dict(heads=dict(cap=dict(in_channels=(1024,), strides=(32,), levels=(2,))))
