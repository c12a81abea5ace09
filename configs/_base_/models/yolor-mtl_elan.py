# YOLOR-MTL with the YOLOv7-AF trunk: 80,000,999 parameters with COCO's classes and a vocabulary of 30,522.
# Text configs cannot compute a base's fields from a child's variables: what depends on the numbers of classes is
# repeated here for COCO and overridden, in one block, by configs for other data.
num_things = 80
num_stuff = 91
num_extra = 2  # 'other' and 'unlabeled': channels that are trained and never evaluated

model = dict(
    type='mmyolor_mtl.YOLORMTL',
    data_preprocessor=dict(type='mmyolor_mtl.YOLORMTLDataPreprocessor'),
    backbone=dict(type='mmyolor_mtl.ELANBackbone'),
    neck=dict(type='mmyolor_mtl.ELANPAFPN', in_channels=(512, 1024, 1024), out_channels=(256, 512, 1024)),
    heads=dict(
        det=dict(type='mmyolor_mtl.YOLORDetectionHead', num_classes=num_things, in_channels=(256, 512, 1024)),
        ins=dict(type='mmyolor_mtl.YOLORMaskHead', in_channels=(256, 512, 1024)),
        sem=dict(
            type='mmyolor_mtl.YOLORSemanticHead',
            num_classes=num_things + num_stuff + num_extra,
            in_channels=(256, 512, 1024),
            loss_pixel=dict(type='mmyolor_mtl.IndexFocalLoss', loss_weight=25.0),
            loss_dice=dict(type='mmyolor_mtl.IndexDiceLoss', loss_weight=1.25),
        ),
        cap=dict(
            type='mmyolor_mtl.CaptionHead',
            in_channels=(512, 1024, 1024),
            source='backbone',
            vocab_size=30522,
        ),
    ),
    test_cfg=dict(panoptic=dict(num_things=num_things, num_evaluated=num_things + num_stuff, score_thr=0.25)),
)
