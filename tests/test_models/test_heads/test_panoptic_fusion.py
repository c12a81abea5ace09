import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.evaluation import INSTANCE_OFFSET
from mmengine.structures import InstanceData

from mmyolor_mtl.models.heads.panoptic_fusion import fuse_panoptic

SIZES = dict(num_things=2, num_evaluated=5)


def instances(masks, scores, labels):
    return InstanceData(masks=torch.stack(masks), scores=torch.tensor(scores), labels=torch.tensor(labels))


def square(y1, y2, x1, x2):
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[y1:y2, x1:x2] = True
    return mask


def test_better_instance_is_on_top_and_weak_ones_are_left_out():
    found = instances([square(0, 4, 0, 4), square(2, 6, 2, 6), square(6, 8, 6, 8)], [0.5, 0.9, 0.1], [0, 1, 1])
    sem = torch.full((8, 8), 3)
    sem[7, 7] = 1  # a thing pixel of the semantic map without an instance
    sem[0, 7] = 6  # a class that is never evaluated
    panoptic = fuse_panoptic(found, sem, **SIZES)
    assert (panoptic[2:6, 2:6] == 1 + INSTANCE_OFFSET).all()
    assert (panoptic[:2, :4] == 0 + 2 * INSTANCE_OFFSET).all() and panoptic[3, 0] == 2 * INSTANCE_OFFSET
    assert panoptic[7, 7] == 5 and panoptic[0, 7] == 5 and panoptic[6, 6] == 3


def test_usual_rule_drops_hidden_instances_and_small_stuff():
    found = instances([square(0, 4, 0, 4), square(0, 4, 0, 6)], [0.9, 0.8], [0, 1])
    sem = torch.full((8, 8), 2)
    sem[7, :3] = 4
    panoptic = fuse_panoptic(found, sem, **SIZES, min_visible=0.5, min_stuff_area=4)
    assert (panoptic[:4, 4:6] == 2).all()  # a third of the second instance is visible: dropped, stuff shows
    assert (panoptic[7, :3] == 5).all()
    assert (fuse_panoptic(found, sem, **SIZES)[:4, 4:6] == 1 + 2 * INSTANCE_OFFSET).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 6))
def test_every_pixel_has_exactly_one_valid_segment(seed, number):
    generator = torch.Generator().manual_seed(seed)
    found = InstanceData(
        masks=torch.rand(number, 8, 8, generator=generator) > 0.6,
        scores=torch.rand(number, generator=generator),
        labels=torch.randint(0, 2, (number,), generator=generator),
    )
    sem = torch.randint(0, 7, (8, 8), generator=generator)
    panoptic = fuse_panoptic(found, sem, **SIZES)
    classes, numbers = panoptic % INSTANCE_OFFSET, panoptic // INSTANCE_OFFSET
    assert ((classes < 2) == (numbers > 0)).all() and (classes <= 5).all()
    assert (panoptic == fuse_panoptic(found, sem, **SIZES)).all()
