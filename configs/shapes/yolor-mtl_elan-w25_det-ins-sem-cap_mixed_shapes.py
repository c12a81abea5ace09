# The demo's network on three data sets at once: masks without sentences, sentences without masks, and a few scenes with
# everything. All three are in one Shapes folder here; see docs/user_guides/mixing_data.md.
_base_ = ['./yolor-mtl_elan-w25_det-ins-sem-cap_demo_shapes.py']

# ---------------------------------------------------------------- what people change
data_root = 'data/shapes/'
ratios = (1, 1, 2)
epoch_length = 2800

# ---------------------------------------------------------------- data
dataset_type = 'mmyolor_mtl.ShapesDataset'
instances = 'annotations/instances_train2017.json'
captions = 'annotations/captions_train2017.json'
masks_only = dict(type=dataset_type, data_root=data_root, ann_file=instances, data_prefix=dict(img='train2017/'))
captions_only = dict(
    type=dataset_type,
    data_root=data_root,
    caption_file=captions,
    data_prefix=dict(img='train2017/'),
)
everything = dict(
    type=dataset_type,
    data_root=data_root,
    ann_file=instances,
    caption_file=captions,
    data_prefix=dict(img='train2017/', seg='stuffthingmaps/train2017/'),
    indices=400,
)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='mmyolor_mtl.RatioSampler', ratios=ratios, epoch_length=epoch_length),
    dataset=dict(
        _delete_=True,
        type='mmyolor_mtl.MixedDataset',
        pipeline=_base_.train_pipeline,
        datasets=[masks_only, captions_only, everything],
    ),
)
