import tracemalloc

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import InstanceData, PixelData

from mmyolor_mtl.registry import VISUALIZERS
from mmyolor_mtl.structures import encode_mask, encode_window
from mmyolor_mtl.visualization import MTLLocalVisualizer, canvas

META = dict(
    classes=('red thing', 'green thing'),
    palette=[(255, 0, 0), (0, 255, 0)],
    stuff_classes=('grass', 'sky'),
    stuff_palette=[(120, 70, 0), (0, 0, 255)],
    extra_classes=('other',),
)
HEIGHT, WIDTH = 96, 128


def make_visualizer(**kwargs):
    visualizer = MTLLocalVisualizer(**kwargs)
    visualizer.dataset_meta = META
    return visualizer


def make_sample(gt=True, pred=True, height=HEIGHT, width=WIDTH):
    """One red box at the left, one green at the right, sky above grass."""
    sample = DetDataSample(metainfo=dict(img_path='x.png', labelled_tasks=('det', 'ins', 'sem', 'cap')))
    boxes = torch.tensor([[10.0, 20, 50, 60], [80, 30, 110, 70]])
    masks = torch.zeros(2, height, width, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y0:y1, x0:x1] = True
    sem = torch.full((1, height, width), 2)
    sem[:, : height // 2] = 3
    if gt:
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 1]), masks=masks)
        sample.gt_sem_seg = PixelData(sem_seg=sem.to(torch.uint8))
        sample.set_field(['A red thing.', 'Two things on grass.'], 'gt_captions')
    if pred:
        scores = torch.tensor([0.9, 0.4])
        sample.pred_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 1]), scores=scores, masks=masks)
        sample.pred_sem_seg = PixelData(sem_seg=sem)
        panoptic = sem.clone()
        panoptic[0][masks[0]] = 1000
        panoptic[0][masks[1]] = 2001
        sample.pred_panoptic_seg = PixelData(sem_seg=panoptic)
        sample.set_field('A red thing beside a green thing', 'pred_caption')
        sample.set_field(0.5, 'pred_caption_score')
    return sample


def grey_image(height=HEIGHT, width=WIDTH):
    return np.full((height, width, 3), 128, np.uint8)


def count(picture, color, tolerance=3):
    return int((np.abs(picture.astype(int) - color).max(axis=2) <= tolerance).sum())


def test_registered_and_built_from_a_config():
    visualizer = VISUALIZERS.build(dict(type='mmyolor_mtl.MTLLocalVisualizer', panels=('objects',), name='built here'))
    assert visualizer.panels == ('objects',)


@pytest.mark.parametrize('panels', [(), ('objects', 'boxes')])
def test_unknown_panels_are_an_error(panels):
    with pytest.raises(ValueError, match='give some of'):
        MTLLocalVisualizer(panels=panels)


def test_every_panel_adds_to_the_picture():
    sample, image = make_sample(gt=False), grey_image()
    sizes = [
        make_visualizer(panels=panels).compose(image, sample).shape
        for panels in (('objects',), ('objects', 'semantic'), ('objects', 'semantic', 'panoptic'))
    ]
    assert sizes[0][1] < sizes[1][1] < sizes[2][1]
    with_caption = make_visualizer(panels=('objects', 'caption')).compose(image, sample).shape
    assert with_caption[0] > sizes[0][0] and with_caption[1] == sizes[0][1]


def test_boxes_have_the_colour_of_their_class_and_the_threshold_holds():
    image, sample = grey_image(), make_sample(gt=False)
    visualizer = make_visualizer(panels=('objects',))
    both = visualizer.compose(image, sample, pred_score_thr=0.3)
    one = visualizer.compose(image, sample, pred_score_thr=0.5)
    assert count(both, (255, 0, 0)) > 500 and count(both, (0, 255, 0)) > 500
    assert count(one, (255, 0, 0)) > 500 and count(one, (0, 255, 0)) == 0


def test_masks_are_translucent():
    picture = make_visualizer(panels=('objects',), mask_alpha=0.5).compose(grey_image(), make_sample(gt=False))
    assert count(picture, (191, 64, 64)) > 5000


def test_semantic_panel_has_stuff_colours_and_legend():
    visualizer = make_visualizer(panels=('semantic',), sem_alpha=1.0)
    picture = visualizer.compose(grey_image(), make_sample(gt=False))
    sky, grass = count(picture, (0, 0, 255)), count(picture, (120, 70, 0))
    half = (HEIGHT * 4) * (WIDTH * 4) // 2  # enlarged four times
    assert half * 0.97 < sky < half * 1.02 and half * 0.97 < grass < half * 1.02
    assert picture.shape[0] > make_visualizer(panels=('objects',)).compose(grey_image(), make_sample()).shape[0]


def test_unlabelled_pixels_and_second_layer():
    sample = make_sample(pred=False)
    layers = torch.full((2, HEIGHT, WIDTH), 255, dtype=torch.uint8)
    layers[1, : HEIGHT // 4] = 3
    sample.gt_sem_seg = PixelData(sem_seg=layers)
    picture = make_visualizer(panels=('semantic',), sem_alpha=1.0).compose(grey_image(), sample)
    assert count(picture, (0, 0, 255)) == pytest.approx(HEIGHT * WIDTH * 16 / 4, rel=0.03)
    void, hatching = count(picture, (90, 90, 90)), count(picture, (200, 200, 200))
    assert void + hatching == pytest.approx(HEIGHT * WIDTH * 16 * 3 / 4, rel=0.03) and hatching > void / 12


def test_instances_of_a_class_differ_in_the_panoptic_panel():
    sample = make_sample(gt=False)
    panoptic = sample.pred_panoptic_seg.sem_seg
    panoptic[panoptic == 2001] = 2000
    panoptic[:, -10:] = 4  # void
    picture = make_visualizer(panels=('panoptic',), sem_alpha=1.0).compose(grey_image(), sample)
    assert count(picture, canvas.shade((255, 0, 0), 0)) > 5000
    assert count(picture, canvas.shade((255, 0, 0), 1)) > 5000
    assert count(picture, (90, 90, 90)) > 5000


def test_ground_truth_stands_beside_the_prediction():
    image = grey_image()
    visualizer = make_visualizer()
    both = visualizer.compose(image, make_sample())
    only_gt = make_visualizer(panels=('objects',)).compose(image, make_sample(), draw_pred=False)
    objects_both = make_visualizer(panels=('objects',)).compose(image, make_sample())
    assert objects_both.shape[1] > 1.8 * only_gt.shape[1]
    assert both.shape[1] == objects_both.shape[1]  # one column each, tasks below each other
    # The derived panoptic map of the ground truth equals the predicted one, so the third row is the same on both sides.
    panoptic = make_visualizer(panels=('panoptic',)).compose(image, make_sample())
    middle = panoptic.shape[1] // 2
    height = panoptic.shape[0]
    left, right = panoptic[height // 4 :, :middle], panoptic[height // 4 :, -middle:]
    inset = 40
    assert np.abs(left[:, inset:-inset].astype(int) - right[:, inset:-inset]).mean() < 12


def test_tasks_without_labels_are_said_to_be_so():
    sample = make_sample()
    sample.set_metainfo(dict(labelled_tasks=('cap',)))
    visualizer = make_visualizer(panels=('objects',))
    picture = visualizer.compose(grey_image(), sample)
    left = picture[:, : picture.shape[1] // 2]
    assert count(left, (255, 0, 0)) == 0 and count(picture, (255, 0, 0)) > 500


@pytest.mark.parametrize(('height', 'width'), [(7, 9), (192, 192), (640, 480), (30, 900), (1500, 1100)])
def test_any_image_size(height, width):
    sample = make_sample(gt=False, height=max(height, 80), width=max(width, 120))
    for name in ('pred_sem_seg', 'pred_panoptic_seg'):
        sample.set_field(PixelData(sem_seg=getattr(sample, name).sem_seg[:, :height, :width]), name)
    masks = sample.pred_instances.masks[:, :height, :width]
    sample.pred_instances.masks = masks
    picture = make_visualizer().compose(grey_image(height, width), sample)
    assert 640 <= picture.shape[1] <= 3400 and picture.dtype == np.uint8


def test_polygon_masks_crowd_and_empty_scene():
    sample = make_sample(pred=False)
    polygons = [[np.array([10.0, 20, 50, 20, 50, 60])], [np.array([80.0, 30, 110, 30, 110, 70])]]
    sample.gt_instances.masks = PolygonMasks(polygons, HEIGHT, WIDTH)
    sample.ignored_instances = sample.gt_instances[:1]
    visualizer = make_visualizer(panels=('objects',))
    assert count(visualizer.compose(grey_image(), sample), (90, 90, 90)) > 200
    sample.gt_instances = sample.gt_instances[torch.zeros(2, dtype=torch.bool)]
    sample.ignored_instances = sample.ignored_instances[torch.zeros(1, dtype=torch.bool)]
    assert count(visualizer.compose(grey_image(), sample), (255, 0, 0)) == 0


def test_names_and_colours_missing():
    visualizer = MTLLocalVisualizer()
    assert visualizer.compose(grey_image(), make_sample()).shape[0] > 1000
    visualizer.dataset_meta = dict(classes=('a',), palette='random')
    assert visualizer.compose(grey_image(), make_sample()).shape[0] > 1000


def test_nothing_to_draw_gives_the_image():
    image = grey_image()
    visualizer = make_visualizer()
    assert np.array_equal(visualizer.compose(image), image)
    assert np.array_equal(visualizer.compose(image, DetDataSample()), image)


def test_another_image_size_is_an_error():
    with pytest.raises(ValueError, match=r'semantic map of 96x128 px does not fit the image of 50x60 px'):
        make_visualizer().compose(grey_image(50, 60), make_sample(gt=False))


def test_add_datasample_writes_a_file_and_keeps_the_picture(tmp_path):
    visualizer = make_visualizer()
    out = tmp_path / 'sub' / 'picture.png'
    visualizer.add_datasample('name', grey_image(), make_sample(), out_file=str(out))
    stored = cv2.imread(str(out))[..., ::-1]
    assert np.array_equal(stored, visualizer.compose(grey_image(), make_sample()))
    assert visualizer.get_image().shape == stored.shape


def test_add_datasample_reaches_the_backends(tmp_path):
    visualizer = MTLLocalVisualizer(vis_backends=[dict(type='LocalVisBackend')], save_dir=str(tmp_path))
    visualizer.dataset_meta = META
    visualizer.add_datasample('val_img', grey_image(), make_sample(), step=7)
    assert list(tmp_path.rglob('val_img_7.png'))


@pytest.mark.parametrize(
    ('height', 'width', 'most'),
    [(1, 1, 700), (32, 32, 700), (1, 5000, 1800), (5000, 1, 3800), (400, 12_000, 1800), (12_000, 400, 3800)],
)
def test_extreme_images_stay_readable_and_bounded(height, width, most):
    sample = DetDataSample()
    box = torch.tensor([[0.0, 0, width, height]])
    masks = [encode_mask(np.ones((height, width), bool))]
    sample.pred_instances = InstanceData(bboxes=box, labels=torch.tensor([1]), scores=torch.tensor([0.9]), masks=masks)
    sample.pred_sem_seg = PixelData(sem_seg=torch.full((1, height, width), 2))
    sample.pred_panoptic_seg = PixelData(sem_seg=torch.full((1, height, width), 1001))
    sample.set_field('a thing', 'pred_caption')
    picture = make_visualizer().compose(grey_image(height, width), sample)
    assert picture.shape[0] <= most and picture.shape[1] <= 3500
    objects = make_visualizer(panels=('objects',)).compose(grey_image(height, width), sample)
    assert count(objects, (0, 255, 0)) > 1000  # the label has room


def test_many_masks_of_a_large_photograph_take_little_memory():
    """Sixty masks of 24 megapixels would fill 1.4 GB as arrays."""
    height, width, number = 4000, 6000, 60
    rng = np.random.default_rng(0)
    corners = np.stack([rng.integers(0, width - 900, number), rng.integers(0, height - 700, number)], axis=1)
    masks = [encode_window(np.ones((700, 900), bool), corner, (height, width)) for corner in corners]
    boxes = torch.from_numpy(np.concatenate([corners, corners + [900, 700]], axis=1)).float()
    labels = torch.arange(number) % 2
    sample = DetDataSample()
    sample.pred_instances = InstanceData(bboxes=boxes, labels=labels, scores=torch.ones(number), masks=masks)
    sample.gt_instances = InstanceData(bboxes=boxes, labels=labels, masks=PolygonMasks(rings(corners), height, width))
    sample.gt_sem_seg = PixelData(sem_seg=torch.full((1, height, width), 2, dtype=torch.uint8))
    image = np.full((height, width, 3), 90, np.uint8)
    tracemalloc.start()
    picture = make_visualizer().compose(image, sample)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6 and picture.shape[1] < 2200
    assert count(picture[:, : picture.shape[1] // 2], (255, 0, 0)) > 1000


def rings(corners):
    return [[np.array([x, y, x + 900, y, x + 900, y + 700, x, y + 700], float)] for x, y in corners]


def test_masks_look_the_same_in_every_form():
    sample, image = make_sample(gt=False), grey_image()
    visualizer = make_visualizer(panels=('objects',))
    expected = visualizer.compose(image, sample)
    for masks in (
        [encode_mask(mask) for mask in sample.pred_instances.masks.numpy()],
        BitmapMasks(sample.pred_instances.masks.numpy().astype(np.uint8), HEIGHT, WIDTH),
    ):
        sample.pred_instances.masks = masks
        assert np.array_equal(visualizer.compose(image, sample), expected)


def test_boxes_far_outside_are_drawn_at_the_edge():
    sample = make_sample(gt=False)
    sample.pred_instances.bboxes = torch.tensor([[-1e9, -5, 1e9, 90], [float('nan'), 0, 20, float('inf')]])
    assert count(make_visualizer(panels=('objects',)).compose(grey_image(), sample), (255, 0, 0)) > 1000


def test_with_notes_only_what_is_wrong_has_a_label():
    sample, image = make_sample(gt=False), grey_image()
    visualizer = make_visualizer(panels=('objects',))
    sample.pred_instances.notes = ['', '']
    none = visualizer.compose(image, sample)
    sample.pred_instances.notes = ['', 'duplicate']
    one = visualizer.compose(image, sample)
    assert count(one, (0, 255, 0)) > count(none, (0, 255, 0)) + 500
    assert abs(count(one, (255, 0, 0)) - count(none, (255, 0, 0))) < 50


def test_wrong_pixels_keep_their_colour_and_others_fade():
    sample = make_sample(gt=False)
    wrong = np.zeros((1, HEIGHT, WIDTH), bool)
    wrong[:, :24] = True
    sample.pred_sem_seg.wrong = wrong
    picture = make_visualizer(panels=('semantic',), sem_alpha=1.0).compose(grey_image(), sample)
    assert count(picture, (0, 0, 255)) == pytest.approx(24 * WIDTH * 16, rel=0.05)
    assert count(picture, (191, 191, 254)) == pytest.approx(24 * WIDTH * 16, rel=0.05)


def test_captions_alone_come_with_the_image():
    image = grey_image()
    image[...] = (10, 200, 40)
    for sample in (make_sample(), make_sample(gt=False)):
        picture = make_visualizer(panels=('caption',)).compose(image, sample)
        assert count(picture, (10, 200, 40)) >= HEIGHT * WIDTH * 16


@pytest.mark.parametrize('caption', ['x' * 5000, '猫が草の上に座っている 🐱👨‍👩‍👧', 'one\ntwo\x00\ud800', '', '   '])
def test_any_caption(caption):
    sample = make_sample(gt=False)
    sample.set_field(caption, 'pred_caption')
    picture = make_visualizer(panels=('objects', 'caption')).compose(grey_image(), sample)
    assert picture.shape[0] < 2000
