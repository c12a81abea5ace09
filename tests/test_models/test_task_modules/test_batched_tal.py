import pytest
import torch

from mmyolor_mtl.models.losses import complete_iou
from mmyolor_mtl.models.task_modules import BatchedTaskAlignedAssigner, anchor_points, boxes_to_distances
from mmyolor_mtl.models.task_modules.box_coder import distances_to_boxes

LEVELS = [(8, 8, 8), (4, 4, 16), (2, 2, 32)]


def loop_assign(scores, boxes, points, labels, gt_boxes, topk):
    """REFERENCE_SPEC 3.1 for one image, object by object and anchor by anchor."""
    num_gts, num_anchors = len(labels), len(points)
    iou = torch.stack([complete_iou(gt.expand(num_anchors, 4), boxes).clamp(min=0) for gt in gt_boxes])
    metric = torch.stack([scores[:, label] ** 0.5 for label in labels]) * iou**6
    claims = [[] for _ in range(num_anchors)]
    for g in range(num_gts):
        x1, y1, x2, y2 = gt_boxes[g]
        inside = (torch.stack([points[:, 0] - x1, points[:, 1] - y1, x2 - points[:, 0], y2 - points[:, 1]]) > 1e-9).all(
            0
        )
        for n in (metric[g] * inside).topk(topk).indices.tolist():
            if inside[n]:
                claims[n].append(g)
    owner = torch.full((num_anchors,), -1)
    for n, gts in enumerate(claims):
        if len(gts) == 1:
            owner[n] = gts[0]
        elif gts:
            owner[n] = iou[:, n].argmax()
    target = torch.zeros(num_anchors)
    for g in range(num_gts):
        mine = owner == g
        if mine.any():
            # overlap and metric count only where the point lies inside the object
            x1, y1, x2, y2 = gt_boxes[g]
            inside = (points[:, 0] > x1) & (points[:, 0] < x2) & (points[:, 1] > y1) & (points[:, 1] < y2)
            m, o = metric[g] * mine * inside, iou[g] * mine * inside
            target += m * (o.max() / (m.max() + 1e-9))
    return owner, target


def crowded(batch, num_gts, seed):
    generator = torch.Generator().manual_seed(seed)
    points, _ = anchor_points([level[:2] for level in LEVELS], (8, 16, 32), torch.zeros(1))
    n = len(points)
    scores = torch.rand(batch, n, 5, generator=generator)
    sides = 4 + torch.rand(batch, n, 4, generator=generator) * 20
    boxes = distances_to_boxes(points, sides)
    xy = torch.rand(batch, num_gts, 2, generator=generator) * 40
    gt_boxes = torch.cat([xy, xy + 4 + torch.rand(batch, num_gts, 2, generator=generator) * 30], dim=-1)
    labels = torch.randint(0, 5, (batch, num_gts), generator=generator)
    return scores, boxes, points, labels, gt_boxes


@pytest.mark.parametrize('topk', [1, 10])
@pytest.mark.parametrize('seed', range(8))
def test_batch_equals_a_loop_over_images_and_objects(seed, topk):
    scores, boxes, points, labels, gt_boxes = crowded(3, 12, seed)
    counts = [12, 5, 0]
    valid = torch.arange(12) < torch.tensor(counts)[:, None]
    labels, gt_boxes = labels * valid, gt_boxes * valid[..., None]
    result = BatchedTaskAlignedAssigner(topk=topk).assign(scores, boxes, LEVELS, labels, gt_boxes, valid)
    for image, number in enumerate(counts):
        if number == 0:
            assert not result.foreground[image].any()
            continue
        owner, target = loop_assign(
            scores[image], boxes[image], points, labels[image, :number], gt_boxes[image, :number], topk
        )
        assert torch.equal(result.foreground[image], owner >= 0)
        assert torch.equal(result.gt_index[image][owner >= 0], owner[owner >= 0])
        assert torch.allclose(result.scores[image], target, atol=1e-6)


def test_padding_the_batch_changes_nothing():
    scores, boxes, points, labels, gt_boxes = crowded(1, 6, 3)
    valid = torch.ones(1, 6, dtype=torch.bool)
    assigner = BatchedTaskAlignedAssigner()
    alone = assigner.assign(scores, boxes, LEVELS, labels, gt_boxes, valid)
    padded = assigner.assign(
        scores,
        boxes,
        LEVELS,
        torch.nn.functional.pad(labels, (0, 7)),
        torch.nn.functional.pad(gt_boxes, (0, 0, 0, 7)),
        torch.nn.functional.pad(valid, (0, 7)),
    )
    for name in ('foreground', 'gt_index', 'labels', 'boxes', 'scores'):
        assert torch.equal(getattr(alone, name), getattr(padded, name)), name


def test_no_object_in_the_batch():
    scores, boxes, points, labels, gt_boxes = crowded(2, 3, 0)
    empty = BatchedTaskAlignedAssigner().assign(
        scores, boxes, LEVELS, labels[:, :0], gt_boxes[:, :0], torch.ones(2, 0, dtype=torch.bool)
    )
    assert not empty.foreground.any() and not empty.scores.any()


def test_distances_round_trip():
    _, boxes, points, _, _ = crowded(1, 1, 0)
    back = distances_to_boxes(points, boxes_to_distances(points, boxes[0], 1e6))
    assert torch.allclose(back, boxes[0], atol=1e-4)


def test_topk_must_be_positive():
    with pytest.raises(ValueError, match='topk must be at least 1, got 0'):
        BatchedTaskAlignedAssigner(topk=0)
