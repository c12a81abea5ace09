# GELAN-C with the three vision heads of gelan-c-pan: 27,793,549 parameters with COCO's classes.
num_things = 80
num_stuff = 91
num_extra = 2  # 'other' and 'unlabeled': channels that are trained and never evaluated

model = dict(
    type='mmyolor_mtl.YOLORMTL',
    data_preprocessor=dict(type='mmyolor_mtl.YOLORMTLDataPreprocessor'),
    backbone=dict(type='mmyolor_mtl.GELANBackbone'),
    neck=dict(type='mmyolor_mtl.GELANPAFPN', in_channels=(512, 512, 512)),
    heads=dict(
        det=dict(type='mmyolor_mtl.YOLORDetectionHead', num_classes=num_things, in_channels=(256, 512, 512)),
        ins=dict(type='mmyolor_mtl.YOLORMaskHead', in_channels=(256, 512, 512)),
        sem=dict(
            type='mmyolor_mtl.YOLORSemanticHead',
            num_classes=num_things + num_stuff + num_extra,
            in_channels=(256, 512, 512),
            hidden_channels=64,
            align_corners=True,
        ),
    ),
    test_cfg=dict(panoptic=dict(num_things=num_things, num_evaluated=num_things + num_stuff, score_thr=0.25)),
)
