import pytest
import torch

from mmyolor_mtl.models.data_preprocessor import YOLORMTLDataPreprocessor

from .helpers import labelled_sample


def batch(sizes, samples):
    return dict(inputs=[torch.full((3, *size), 51, dtype=torch.uint8) for size in sizes], data_samples=samples)


def test_both_views_become_rgb_between_zero_and_one():
    sample = labelled_sample()
    data = batch([(64, 64)], [sample])
    data['inputs'][0][2] = 255  # red, last in BGR
    sample.caption_view[0] = 255  # blue
    out = YOLORMTLDataPreprocessor()(data, training=True)
    assert torch.allclose(out['inputs'][0, 0], torch.tensor(1.0)) and torch.allclose(
        out['inputs'][0, 1:], torch.tensor(0.2)
    )
    assert out['caption_inputs'].shape == (1, 3, 64, 64)
    assert (out['caption_inputs'][0, 2] == 1).all() and out['caption_inputs'].min() >= 0


def test_images_of_different_sizes_are_padded_with_grey():
    out = YOLORMTLDataPreprocessor()(batch([(64, 32), (50, 64)], [labelled_sample(), labelled_sample()]))
    assert out['inputs'].shape == (2, 3, 64, 64)
    assert torch.allclose(out['inputs'][0, :, :, 40], torch.tensor(114 / 255))
    assert out['data_samples'][0].batch_input_shape == (64, 64)


def test_only_samples_with_a_view_are_stacked():
    bare = labelled_sample()
    del bare.caption_view
    preprocessor = YOLORMTLDataPreprocessor()
    out = preprocessor(batch([(64, 64)] * 3, [labelled_sample(), bare, labelled_sample()]))
    assert out['caption_inputs'].shape == (2, 3, 64, 64)
    assert preprocessor(batch([(64, 64)], [bare]))['caption_inputs'] is None


def test_views_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match='caption views of one batch differ in size'):
        YOLORMTLDataPreprocessor()(batch([(64, 64)] * 2, [labelled_sample(), labelled_sample(size=(32, 32))]))
