import pytest
import torch

from mmyolor_mtl.models.heads.semantic_head import YOLORSemanticHead, stack_layers

from ..helpers import count, labelled_sample


def head(**kwargs):
    torch.manual_seed(0)
    return YOLORSemanticHead(num_classes=6, in_channels=(8, 16), **kwargs)


def feats(batch=2):
    return [torch.randn(batch, 8, 8, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(batch, 16, 4, 4)]


def test_the_papers_head_has_44461_parameters():
    assert count(YOLORSemanticHead(num_classes=173)) == 44_461


def test_the_released_heads_small_convolution_has_158829_parameters():
    assert count(YOLORSemanticHead(num_classes=173, hidden_channels=64)) == 158_829


def test_several_levels_are_added_in_the_hidden_channels():
    module = head(hidden_channels=4, num_levels=2)
    assert count(module) == (9 * 8 * 4 + 8) + (9 * 16 * 4 + 8) + 4 * 6 + 6
    levels = feats()
    without = module(levels)['sem_logits']
    assert without.shape == (2, 6, 16, 16)
    levels[1] = levels[1] + torch.randn(levels[1].shape)
    assert not torch.allclose(module(levels)['sem_logits'], without)


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(num_levels=3), 'num_levels=3 must lie between 1 and the 2 levels'),
        (dict(num_levels=2), 'num_levels=2 needs hidden_channels'),
    ],
)
def test_wrong_levels_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        head(**kwargs)


def test_logits_are_upsampled_to_the_stride_of_the_loss():
    assert head()(feats())['sem_logits'].shape == (2, 6, 16, 16)
    assert head(out_stride=8)(feats())['sem_logits'].shape == (2, 6, 8, 8)
    with pytest.raises(ValueError, match='stride 8 must be a multiple of out_stride 3'):
        head(out_stride=3)


@pytest.mark.parametrize('align_corners', [False, True])
def test_upsampling_moves_nothing_unless_corners_are_aligned(align_corners):
    module = head(align_corners=align_corners)
    with torch.no_grad():
        module.main.classifier.weight.fill_(1)
        module.main.classifier.bias.zero_()
    spike = torch.zeros(1, 8, 8, 8)
    spike[:, :, 2, 5] = 1
    logits = module([spike])['sem_logits'][0, 0].detach()
    rows, columns = (logits.sum(dim=dim) / logits.sum() for dim in (1, 0))
    centre = (float((rows * torch.arange(16)).sum()), float((columns * torch.arange(16)).sum()))
    # The middle of the coarse cell 2 lies between the fine cells 4 and 5.
    assert (centre == pytest.approx((4.5, 10.5), abs=1e-4)) is not align_corners


def test_only_labelled_images_count():
    module = head()
    both = module.loss(feats(), [labelled_sample(), labelled_sample(tasks=('det',))], {})
    alone = module.loss([x[:1] for x in feats()], [labelled_sample()], {})
    assert set(both) == {'loss_sem_pixel', 'loss_sem_dice'}
    assert all(torch.allclose(both[name], alone[name]) for name in both)


def test_no_label_gives_zero_that_reaches_every_parameter():
    module = head()
    losses = module.loss(feats(), [labelled_sample(tasks=()), labelled_sample(tasks=())], {})
    assert all(float(loss) == 0 for loss in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in module.parameters())


def test_layers_of_a_mixed_image_are_stacked_with_padding():
    one, two = torch.zeros(1, 2, 2, dtype=torch.uint8), torch.ones(2, 2, 2, dtype=torch.uint8)
    stacked = stack_layers([one, two], like=torch.zeros(2, 6, 2, 2))
    assert stacked.shape == (2, 2, 2, 2) and stacked.dtype == torch.long
    assert (stacked[0, 1] == 255).all() and (stacked[1] == 1).all()
    assert stack_layers([], like=torch.zeros(0, 6, 2, 2)).shape == (0, 1, 2, 2)


def test_prediction_has_the_size_of_the_picture_without_its_padding():
    module = head().eval()
    sample = labelled_sample()
    sample.set_metainfo(dict(ori_shape=(90, 180), img_shape=(64, 64), pad_param=(16, 16, 0, 0)))
    logits = torch.full((1, 6, 16, 16), -5.0)
    logits[:, 5] = 0.0  # the padding
    logits[:, 5, 4:12] = -9.0
    logits[:, 1, 4:12, :8] = 5.0  # left half of the picture
    logits[:, 2, 4:12, 8:] = 5.0
    module.forward = lambda _: dict(sem_logits=logits)
    module.predict([], [sample], {})
    sem_seg = sample.pred_sem_seg.sem_seg
    assert sem_seg.shape == (1, 90, 180) and sem_seg.dtype == torch.int64
    assert (sem_seg[0, :, :88] == 1).all() and (sem_seg[0, :, 92:] == 2).all()
