import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmyolor_mtl.datasets import COCOMultiTaskDataset
from mmyolor_mtl.datasets.label_files import LabelFiles
from mmyolor_mtl.datasets.statistics import collect_statistics
from mmyolor_mtl.datasets.transforms import LoadMTLAnnotations

from ..test_datasets import tiny_coco as tiny

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'analysis_tools' / 'dataset_statistics.py'
PLOTS = {
    *('coverage', 'image_sizes', 'objects_by_class', 'box_sizes', 'objects_per_image', 'pixels_by_class'),
    *('caption_lengths', 'vocabulary'),
}


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('dataset_statistics', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return tiny.build(tmp_path_factory.mktemp('tiny'))


def files(root):
    folder = root / 'annotations'
    return LabelFiles(
        images=str(root / 'train2017'),
        instances=str(folder / 'instances_train2017.json'),
        captions=str(folder / 'captions_train2017.json'),
        maps=str(root / 'stuffthingmaps/train2017'),
    )


def test_figures_are_those_of_the_data_set(root):
    statistics = collect_statistics(files(root), str.split)
    dataset = COCOMultiTaskDataset(**tiny.config(root))
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    objects = [one for info in infos for one in info['instances'] if not one['ignore_flag']]
    by_class = np.bincount([one['bbox_label'] for one in objects], minlength=80)
    assert statistics.objects.tolist() == by_class.tolist() and statistics.crowds == 1
    assert statistics.images_with[0] == sum(any(one['bbox_label'] == 0 for one in info['instances']) for info in infos)
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (one['bbox'] for one in objects)]
    assert np.allclose(statistics.sides**2, areas)
    assert statistics.size_shares()['small'] == sum(area < 32**2 for area in areas)
    assert statistics.per_image.tolist().count(0) == 1 and statistics.per_image.sum() == len(objects)
    assert statistics.coverage['cap',] == 1 and statistics.coverage.total() == len(infos)
    assert sorted(map(tuple, statistics.sizes.tolist())) == sorted((w, h) for h, w in tiny.SIZES.values())
    captions = [caption for info in infos for caption in info['captions']]
    assert statistics.caption_lengths.tolist() == [len(caption.split()) for caption in captions]
    assert statistics.words['Two'] == len(captions) / len(tiny.CAPTIONS)


def test_pixels_are_counted_in_a_sample_of_the_maps(root):
    statistics = collect_statistics(files(root), str.split)
    load = LoadMTLAnnotations(tasks=('sem',))
    dataset = COCOMultiTaskDataset(**tiny.config(root))
    total = np.zeros(256, np.int64)
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        if 'sem' in info['labelled_tasks']:
            sample = {**info, 'ori_shape': (info['height'], info['width']), 'dataset': dataset}
            total += np.bincount(load(sample)['gt_seg_map'].ravel(), minlength=256)
    assert statistics.pixels.tolist() == total[:173].tolist() and statistics.unlabelled == total[255] > 0
    assert statistics.maps == (5, 5) and statistics.pixels[tiny.contiguous(tiny.SKY)] > 0
    fewer = collect_statistics(files(root), str.split, max_maps=2)
    assert fewer.maps == (2, 5) and 0 < fewer.pixels.sum() < statistics.pixels.sum()
    stuff = LabelFiles(instances=files(root).instances, stuff=str(root / 'annotations/stuff_train2017.json'))
    painted = collect_statistics(stuff, str.split)  # the maps are painted from the records, all but the crowd
    assert painted.pixels[1:171].tolist() == statistics.pixels[1:171].tolist()
    assert painted.maps == (5, 5) and 0 < painted.pixels[0] < statistics.pixels[0]


def test_tool_writes_table_json_and_plots(tool, root, tmp_path, capsys):
    cfg = {**tiny.config(root), 'type': 'mmyolor_mtl.COCOMultiTaskDataset'}
    (tmp_path / 'config.py').write_text(f"default_scope = 'mmdet'\ntrain_dataloader = dict(dataset={cfg!r})\n")
    out = tmp_path / 'out'
    for _ in range(2):  # the second run replaces the files of the first
        assert tool.main([str(tmp_path / 'config.py'), '--out-dir', str(out)]) == 0
    printed = capsys.readouterr().out
    assert (
        '7 images' in printed and 'det+ins+sem+cap' in printed and 'sky-other' in printed and '30 captions' in printed
    )
    assert {path.stem for path in out.iterdir()} == PLOTS | {'statistics'}
    for name in PLOTS:
        image = cv2.imread(str(out / f'{name}.png'))
        assert image is not None and (image < 250).mean() > 0.005
    found = json.loads((out / 'statistics.json').read_text())
    assert found['objects_by_class']['dog']['objects'] > 0 and found['captions'] == 30
    assert sum(found['objects_by_size'].values()) == found['objects']
    assert abs(sum(found['pixel_share_by_class'].values()) - 1) < 1e-9


def test_only_captions_make_fewer_plots(tool, root, tmp_path):
    assert tool.main(['--captions', files(root).captions, '--out-dir', str(tmp_path)]) == 0
    assert {path.stem for path in tmp_path.iterdir()} == {
        *('coverage', 'image_sizes', 'caption_lengths', 'vocabulary', 'statistics')
    }
    assert json.loads((tmp_path / 'statistics.json').read_text())['pixel_share_by_class'] == {}


def test_names_of_all_classes_fit(tool):
    names = [f'a class with a rather long name {i}' for i in range(173)]
    figure = tool.plot_classes(names, [('pixels', np.linspace(1, 0, 173), 'blue')], 'title')
    figure.canvas.draw()
    labels = [label for axes in figure.axes for label in axes.get_yticklabels()]
    assert len(labels) == 173
    for axes in figure.axes:
        boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
        assert all(a.y0 >= b.y1 - 0.5 for a, b in zip(boxes, boxes[1:], strict=False))  # none covers the next
        assert min(box.x0 for box in boxes) >= 0


@pytest.mark.parametrize(
    ('options', 'message'),
    [([], 'give either a config, or files'), (['--instances', 'absent.json'], 'absent.json does not exist')],
)
def test_bad_input(tool, tmp_path, options, message, capsys):
    assert tool.main([*options, '--out-dir', str(tmp_path / 'out')]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / 'out').exists()


def test_faulty_annotations_are_refused(tool, tmp_path, capsys):
    root = tiny.build(tmp_path / 'data')
    content = tiny.read(root, 'instances_train2017')
    content['annotations'][0]['bbox'] = None
    tiny.write(root, 'instances_train2017', content)
    assert tool.main(['--instances', files(root).instances, '--out-dir', str(tmp_path / 'out')]) == 2
    assert 'annotation 1 of image 11 has no bbox' in capsys.readouterr().err and not (tmp_path / 'out').exists()
