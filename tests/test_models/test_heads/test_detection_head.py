import math

import pytest
import torch
from mmdet.structures import DetDataSample

from mmyolor_mtl.models.heads.detection_head import YOLORDetectionHead, to_image_space

from ..helpers import count, labelled_sample


def small_head(**kwargs):
    return YOLORDetectionHead(num_classes=4, in_channels=(8, 16, 16), **kwargs)


def features(batch=2, size=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, c, size // s, size // s, generator=generator, requires_grad=True)
        for c, s in zip((8, 16, 16), (8, 16, 32), strict=True)
    ]


def test_parameters_equal_the_reference():
    head = YOLORDetectionHead(num_classes=80)
    assert count(head.main.box_branches) == 1_156_032
    assert count(head.main.cls_branches) == 5_962_992
    assert count(head) == 7_119_040
    assert count(head, trainable_only=True) == 7_119_024  # the bins of the distribution are frozen


def test_implicit_knowledge_adds_4016_parameters():
    with_implicit = YOLORDetectionHead(num_classes=80, implicit=True)
    assert count(with_implicit) - count(YOLORDetectionHead(num_classes=80)) == 4_016


def test_biases_are_those_of_the_reference():
    head = YOLORDetectionHead(num_classes=80)
    head.init_weights()
    assert all((branch.predictor.bias == 1).all() for branch in head.main.box_branches)
    biases = [float(branch.predictor.bias[0].detach()) for branch in head.main.cls_branches]
    assert biases == pytest.approx([-11.5366, -10.1503, -8.7641], abs=1e-4)


def test_projection_is_the_expectation_of_the_bins():
    head = small_head()
    dists = torch.full((1, 1, 64), -100.0)
    for side, bin_index in enumerate((0, 5, 15, 7)):
        dists[0, 0, side * 16 + bin_index] = 100.0
    assert torch.allclose(head.main.projection(dists), torch.tensor([[[0.0, 5.0, 15.0, 7.0]]]))


def test_losses_train_towards_the_labels():
    torch.manual_seed(0)
    head = small_head()
    head.init_weights()
    samples = [labelled_sample(), labelled_sample(boxes=((4, 20, 30, 60), (30, 2, 62, 30)), labels=(0, 3))]
    feats = [x.detach() for x in features()]
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.01)
    history = []
    for _ in range(60):
        losses = head.loss(feats, samples, {})
        loss = sum(losses.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(float(loss.detach()))
    assert set(losses) == {'loss_det_cls', 'loss_det_bbox', 'loss_det_dfl'}
    assert history[-1] < 0.3 * history[0]
    head.eval()
    shared = {}
    with torch.no_grad():
        head.predict(feats, samples, shared)
    best = samples[1].pred_instances[:2]
    assert sorted(best.labels.tolist()) == [0, 3]
    expected = samples[1].gt_instances.bboxes[best.labels.argsort().argsort()]
    assert torch.allclose(best.bboxes, expected, atol=4)


def test_unlabelled_images_do_not_teach_that_there_is_nothing():
    head = small_head().eval()  # batch statistics would tie the images together
    labelled = labelled_sample()
    unlabelled = labelled_sample(boxes=(), labels=(), tasks=('cap',))
    feats = features()
    both = head.loss(feats, [labelled, unlabelled], {})
    alone = head.loss([x[:1] for x in feats], [labelled], {})
    for name in both:
        assert torch.allclose(both[name], alone[name], rtol=1e-5), name


def test_batch_without_any_label_gives_zero_and_reaches_every_parameter():
    head = small_head()
    shared = {}
    losses = head.loss(features(), [labelled_sample(tasks=('sem',)), labelled_sample(tasks=())], shared)
    assert all(float(loss.detach()) == 0 for loss in losses.values())
    assert shared['det_indices'] == []
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in head.parameters() if p.requires_grad)


def test_image_without_objects_is_finite():
    head = small_head()
    losses = head.loss(features(1), [labelled_sample(boxes=(), labels=())], {})
    assert all(math.isfinite(float(loss.detach())) for loss in losses.values())
    assert float(losses['loss_det_cls']) > 0 and float(losses['loss_det_bbox']) == 0


def test_predictions_are_limited_sorted_and_remember_their_anchor():
    head = small_head(test_cfg=dict(score_thr=0.0, max_per_img=7, nms_pre=50)).eval()
    samples, shared = [labelled_sample(), labelled_sample()], {}
    with torch.no_grad():
        feats = features()
        head.predict(feats, samples, shared)
        logits = head(feats)['cls_logits']
    for image, (sample, found) in enumerate(zip(samples, shared['detections'], strict=True)):
        scores = sample.pred_instances.scores
        assert len(scores) == 7 and (scores.diff() <= 0).all()
        assert torch.allclose(logits[image, found.anchors, found.labels].sigmoid(), scores)


def test_nothing_above_the_threshold():
    head = small_head(test_cfg=dict(score_thr=1.0)).eval()
    samples = [labelled_sample(), labelled_sample()]
    with torch.no_grad():
        head.predict(features(), samples, {})
    assert [len(sample.pred_instances) for sample in samples] == [0, 0]
    assert samples[0].pred_instances.bboxes.shape == (0, 4)


def test_letterbox_is_undone():
    sample = DetDataSample(metainfo=dict(ori_shape=(100, 200), pad_param=(16, 16, 0, 0), scale_factor=(0.32, 0.32)))
    boxes = to_image_space(torch.tensor([[0.0, 16.0, 64.0, 48.0], [-9.0, 0.0, 70.0, 64.0]]), sample)
    assert torch.allclose(boxes, torch.tensor([[0.0, 0.0, 200.0, 100.0], [0.0, 0.0, 200.0, 100.0]]))


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(num_classes=0), 'num_classes must be at least 1'),
        (dict(num_classes=2, strides=(8,)), 'differ in length'),
        (dict(num_classes=2, test_cfg=dict(score_threshold=0.1)), r"unknown keys \['score_threshold'\]"),
    ],
)
def test_wrong_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        YOLORDetectionHead(**kwargs)


class TestOneToOne:
    """NMS-free inference, its options and its loss."""

    def head(self, **test_cfg):
        torch.manual_seed(0)
        return small_head(one_to_one=True, box_groups=4, light_cls=True, test_cfg=test_cfg).eval()

    def predict(self, head):
        samples, shared = [labelled_sample(), labelled_sample()], {}
        head.predict([x.detach() for x in features()], samples, shared)
        return [sample.pred_instances for sample in samples], shared

    def test_it_takes_the_best_scores_and_no_nms(self):
        head = self.head(score_thr=0.0, max_per_img=7)
        found, shared = self.predict(head)
        scores = head.one_to_one([x.detach() for x in features()])[0].sigmoid()
        for instances, image_scores in zip(found, scores, strict=True):
            assert torch.allclose(instances.scores, image_scores.flatten().topk(7).values)
        assert torch.equal(shared['o2o_cls_logits'].sigmoid(), scores)

    def test_equal_boxes_survive_without_nms_and_not_with_it(self):
        for nms, kept in ((None, 3), (dict(type='nms', iou_threshold=0.5), 1)):
            head = self.head(nms=nms, score_thr=0.1)
            boxes = torch.tensor([[0.0, 0, 20, 20]]).repeat(3, 1)
            scores = torch.zeros(3, 4)
            scores[:, 1] = torch.tensor([0.9, 0.8, 0.7])
            assert head._select(boxes, scores).scores.tolist() == pytest.approx([0.9, 0.8, 0.7][:kept])

    def test_threshold_and_empty_results(self):
        found, _ = self.predict(self.head(score_thr=1.0))
        assert [len(instances) for instances in found] == [0, 0]

    def test_one_to_many_branches_can_be_asked_for(self):
        head = self.head(branch='one_to_many', score_thr=0.0)
        assert head.inference_branches is head.main and head.test_cfg['nms'] is not None
        outputs = head([x.detach() for x in features()])
        with torch.no_grad():
            head.one_to_one.cls_branches[0].predictor.bias += 1
        assert torch.equal(outputs['cls_logits'], head.main.class_logits([x.detach() for x in features()]))
        assert 'o2o_cls_logits' in outputs

    def test_an_object_has_one_positive_anchor(self):
        head = self.head()
        samples = [labelled_sample(boxes=((4, 4, 60, 60), (30, 2, 62, 30)), labels=(0, 3))]
        found = []
        assign = head.one_to_one_assigner.assign
        head.one_to_one_assigner.assign = lambda *args: found.append(assign(*args)) or found[-1]
        shared = {}
        losses = head.loss([x.detach() for x in features(batch=1)], samples, shared)
        assert {'loss_det_cls', 'loss_det_cls_o2o', 'loss_det_bbox_o2o', 'loss_det_dfl_o2o'} <= set(losses)
        assert int(found[0].foreground.sum()) <= 2 < int(shared['assignment'].foreground.sum())

    def test_deploy_keeps_what_inference_uses(self):
        for branch, dropped in (('one_to_one', True), ('one_to_many', False)):
            head = self.head(branch=branch)
            head.switch_to_deploy()
            assert (head.main is None) == dropped
            assert self.predict(head)

    @pytest.mark.parametrize(
        ('cfg', 'message'),
        [
            (dict(branch='both'), "must be 'one_to_one' or 'one_to_many', got 'both'"),
            (dict(branch='one_to_many', nms=None), "nms=None needs branch='one_to_one'"),
            (dict(nms_threshold=0.5), r"unknown keys \['nms_threshold'\]"),
        ],
    )
    def test_options_that_make_no_sense(self, cfg, message):
        with pytest.raises(ValueError, match=message):
            self.head(**cfg)

    def test_a_head_without_such_branches_refuses(self):
        with pytest.raises(ValueError, match='needs a detection head with one_to_one=True'):
            small_head(test_cfg=dict(branch='one_to_one'))
        with pytest.raises(ValueError, match='box_groups must be 1, or 4'):
            small_head(box_groups=2)
        with pytest.raises(ValueError, match='auxiliary takes in_channels'):
            small_head(auxiliary=dict(channels=(8,)))
