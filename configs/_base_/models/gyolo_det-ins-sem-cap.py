# GYOLO: GELAN-C with attention, an auxiliary reversible branch, dual and one-to-one heads and a caption head that looks
# at regions. 52,601,178 parameters while training, 33,269,741 in deploy form, with COCO's classes and 10,202 words.
num_things = 80
num_stuff = 91
num_extra = 2  # 'other' and 'unlabeled': channels that are trained and never evaluated
neck_channels = (256, 512, 512)
auxiliary = dict(in_channels=(512, 512, 512), loss_weight=0.25)
stride_4_branch = dict(num_blocks=2)

model = dict(
    type='mmyolor_mtl.YOLORMTL',
    data_preprocessor=dict(type='mmyolor_mtl.YOLORMTLDataPreprocessor'),
    backbone=dict(type='mmyolor_mtl.GELANBackbone'),
    neck=dict(type='mmyolor_mtl.GELANPAFPN', in_channels=(512, 512, 512), attention=True, isolate_half=True),
    auxiliary=dict(type='mmyolor_mtl.GELANAuxiliaryBranch', in_channels=(512, 512, 512)),
    heads=dict(
        det=dict(
            type='mmyolor_mtl.YOLORDetectionHead',
            num_classes=num_things,
            in_channels=neck_channels,
            box_groups=4,
            light_cls=True,
            one_to_one=True,
            auxiliary=auxiliary,
        ),
        ins=dict(
            type='mmyolor_mtl.YOLORMaskHead', in_channels=neck_channels, branch=stride_4_branch, auxiliary=auxiliary
        ),
        sem=dict(
            type='mmyolor_mtl.YOLORSemanticHead',
            num_classes=num_things + num_stuff + num_extra,
            in_channels=neck_channels,
            stride=4,
            branch=stride_4_branch,
            auxiliary=auxiliary,
            loss_pixel=dict(type='mmyolor_mtl.IndexFocalLoss', loss_weight=25.0),
        ),
        cap=dict(
            type='mmyolor_mtl.RegionCaptionHead',
            in_channels=neck_channels,
            grid_channels=512,
            vocab_size=10202,
            test_cfg=dict(beam_size=5, max_length=20),
        ),
    ),
    test_cfg=dict(panoptic=dict(num_things=num_things, num_evaluated=num_things + num_stuff, score_thr=0.25)),
)
