# A full Transformer: six encoder layers before the decoder. Their cost grows with the square of the number of places,
# so they see the coarsest level alone; compare with the one-level decoder.
_base_ = './yolor-mtl_elan_det-ins-sem-cap_one-level_8xb8-300e_coco.py'

model = dict(heads=dict(cap=dict(num_encoder_layers=6)))
