# The paper's network on one GPU: 16 images an iteration, gradients of four of them a step.
_base_ = ['yolor-mtl_elan_det-ins-sem-cap_8xb8-300e_coco.py']

train_dataloader = dict(batch_size=16, num_workers=8)
custom_hooks = [*_base_.custom_hooks, dict(type='mmyolor_mtl.NominalBatchHook', nominal_batch=64)]
