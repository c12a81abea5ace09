import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mmyolor_mtl.datasets import COCOMultiTaskDataset, ShapesDataset
from mmyolor_mtl.registry import DATASETS

from . import tiny_coco as tiny


def by_id(dataset):
    return {dataset.get_data_info(i)['img_id']: dataset.get_data_info(i) for i in range(len(dataset))}


def test_labelled_tasks_of_every_kind_of_image(tiny_root):
    infos = by_id(COCOMultiTaskDataset(**tiny.config(tiny_root)))
    assert {img_id: info['labelled_tasks'] for img_id, info in infos.items()} == {
        tiny.PLAIN: ('det', 'ins', 'sem', 'cap'),
        tiny.PARTS: ('det', 'ins', 'sem', 'cap'),
        tiny.EMPTY: ('det', 'ins', 'sem', 'cap'),
        tiny.NO_MAP: ('det', 'ins', 'cap'),
        tiny.NO_CAPTION: ('det', 'ins', 'sem'),
        tiny.CAPTION_ONLY: ('cap',),
        tiny.NO_MASK: ('det', 'sem', 'cap'),
    }
    assert infos[tiny.EMPTY]['instances'] == []
    assert [one['ignore_flag'] for one in infos[tiny.PARTS]['instances']] == [0, 0, 1]
    assert infos[tiny.PLAIN]['captions'] == tiny.CAPTIONS
    assert infos[tiny.PLAIN]['instances'][1]['bbox_label'] == 2
    assert infos[tiny.NO_MAP]['seg_map_path'] is None


@pytest.mark.parametrize(
    ('absent', 'tasks'),
    [
        ({'ann_file': ''}, ('sem', 'cap')),
        ({'caption_file': ''}, ('det', 'ins', 'sem')),
        ({'data_prefix': {'img': 'train2017/'}}, ('det', 'ins', 'cap')),
    ],
)
def test_any_source_may_be_absent(tiny_root, absent, tasks):
    infos = by_id(COCOMultiTaskDataset(**tiny.config(tiny_root, **absent)))
    assert infos[tiny.PLAIN]['labelled_tasks'] == tasks


def test_image_list_without_annotations_labels_no_boxes(own_root):
    content = tiny.read(own_root, 'instances_train2017')
    del content['annotations']
    tiny.write(own_root, 'instances_train2017', content)
    infos = by_id(COCOMultiTaskDataset(**tiny.config(own_root, caption_file='')))
    assert infos[tiny.PLAIN]['labelled_tasks'] == ('sem',)
    assert infos[tiny.NO_MAP]['labelled_tasks'] == ()


def test_image_record_can_narrow_its_tasks(own_root):
    content = tiny.read(own_root, 'instances_train2017')
    content['images'][0]['labelled_tasks'] = ['sem']
    tiny.write(own_root, 'instances_train2017', content)
    info = by_id(COCOMultiTaskDataset(**tiny.config(own_root)))[tiny.PLAIN]
    assert info['labelled_tasks'] == ('sem',)
    assert info['instances'] == [] and info['captions'] == []
    content['images'][0]['labelled_tasks'] = ['semantic']
    tiny.write(own_root, 'instances_train2017', content)
    with pytest.raises(ValueError, match=r"image 11: labelled_tasks \['semantic'\]"):
        COCOMultiTaskDataset(**tiny.config(own_root))


def test_partners_have_the_same_vision_tasks(tiny_root):
    dataset = COCOMultiTaskDataset(**tiny.config(tiny_root))
    ids = [dataset.get_data_info(i)['img_id'] for i in range(len(dataset))]

    def partners(*tasks):
        return {ids[i] for i in dataset.partners(tasks)}

    assert partners('det', 'ins', 'sem', 'cap') == {tiny.PLAIN, tiny.PARTS, tiny.EMPTY, tiny.NO_CAPTION}
    assert partners('det', 'ins') == {tiny.NO_MAP}
    assert partners('det', 'sem') == {tiny.NO_MASK}
    assert partners('cap') == {tiny.CAPTION_ONLY}
    assert partners('ins', 'sem') == set()


def test_filter_and_indices_keep_the_tables_in_step(tiny_root):
    dataset = COCOMultiTaskDataset(**tiny.config(tiny_root, filter_cfg={'filter_empty_gt': True, 'min_size': 55}))
    assert set(by_id(dataset)) == {tiny.PLAIN, tiny.PARTS, tiny.NO_CAPTION, tiny.CAPTION_ONLY, tiny.NO_MASK}
    subset = dataset.get_subset([2, 4])
    kept = {subset.get_data_info(int(i))['img_id'] for i in subset.partners(('det', 'ins', 'sem'))}
    assert len(subset) == 2 and kept == {tiny.NO_CAPTION}
    first = COCOMultiTaskDataset(**tiny.config(tiny_root, indices=2))
    assert len(first) == 2 and first.partners(('det', 'ins', 'sem')).tolist() == [0, 1]
    dataset.get_subset_(1)
    assert len(dataset) == 1 and dataset.partners(('det', 'ins', 'sem')).tolist() == [0]


def test_lazy_init_reads_nothing(tmp_path):
    dataset = COCOMultiTaskDataset(**tiny.config(tmp_path, lazy_init=True))
    assert len(dataset.metainfo['classes']) == 80
    with pytest.raises(FileNotFoundError, match=r'instances_train2017\.json does not exist'):
        len(dataset)


@pytest.mark.parametrize(
    ('overrides', 'message'),
    [
        ({'check': 'all'}, "check='all'"),
        ({'ann_file': '', 'caption_file': ''}, 'needs ann_file or caption_file'),
        ({'metainfo': {'classes': ('cat', 'dog')}}, '2 classes but 80 thing_ids'),
        ({'metainfo': {'classes': ('a', 'b'), 'thing_ids': (1, 1)}}, 'distinct category ids'),
        ({'filter_cfg': {'min_size': 5000}}, 'no image is left'),
    ],
)
def test_contradictory_arguments(tiny_root, overrides, message):
    with pytest.raises(ValueError, match=message):
        COCOMultiTaskDataset(**tiny.config(tiny_root, **overrides))


def test_missing_folder_of_semantic_maps(tiny_root):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        COCOMultiTaskDataset(**tiny.config(tiny_root, data_prefix={'img': 'train2017', 'seg': 'nowhere'}))


def test_registry_and_shapes(tiny_root):
    dataset = DATASETS.build({'type': 'mmyolor_mtl.COCOMultiTaskDataset', **tiny.config(tiny_root)})
    assert len(dataset) == len(tiny.SIZES)
    shapes = ShapesDataset(**tiny.config(tiny_root, lazy_init=True))
    assert shapes.metainfo['classes'][0] == 'ball' and shapes.metainfo['extra_classes'] == ()


def test_whole_pipeline_is_deterministic_and_complete(tiny_root):
    dataset = COCOMultiTaskDataset(**tiny.config(tiny_root, pipeline=tiny.train_pipeline(tiny_root / 'vocab.txt')))
    np.random.seed(5)
    first = [dataset[i] for i in range(len(dataset))]
    np.random.seed(5)
    for one, again in zip(first, [dataset[i] for i in range(len(dataset))], strict=True):
        assert (one['inputs'] == again['inputs']).all()
        assert (one['data_samples'].gt_instances.bboxes == again['data_samples'].gt_instances.bboxes).all()
    batch = pseudo_collate(first)
    assert len(batch['inputs']) == len(tiny.SIZES)
    for sample in batch['data_samples']:
        tasks = sample.labelled_tasks
        assert ('gt_mask_targets' in sample) == ('ins' in tasks)
        assert ('gt_sem_target' in sample) == ('sem' in tasks)
        assert ('caption_view' in sample) == ('gt_caption_ids' in sample) == ('cap' in tasks)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize('damage', ['truncated', 'garbage', 'missing', 'other size', 'semantic map'])
def test_broken_image_is_replaced_counted_and_named_once(own_root, log, damage):
    path = own_root / 'train2017' / f'{tiny.PLAIN:012d}.jpg'
    dataset = COCOMultiTaskDataset(**tiny.config(own_root, pipeline=tiny.LOAD))
    if damage == 'truncated':
        truncate(path)
    elif damage == 'garbage':
        path.write_bytes(b'no image at all')
    elif damage == 'missing':
        path.unlink()
    elif damage == 'other size':
        path.write_bytes((own_root / 'train2017' / f'{tiny.PARTS:012d}.jpg').read_bytes())
    else:
        path = own_root / 'stuffthingmaps/train2017' / f'{tiny.PLAIN:012d}.png'
        truncate(path)
    for _ in range(3):
        assert dataset[0]['img_id'] != tiny.PLAIN
    assert dataset.num_broken == 1
    assert len([text for text in log if str(path) in text and 'image 11' in text]) == 1
    test_mode = COCOMultiTaskDataset(**tiny.config(own_root, pipeline=tiny.LOAD, check='none', test_mode=True))
    with pytest.raises(RuntimeError, match=f'image 11 cannot be evaluated: {path}'):
        test_mode[0]


def test_broken_partner_is_replaced(own_root, log):
    pipeline = tiny.train_pipeline(own_root / 'vocab.txt')[:2] + tiny.STRONG
    dataset = COCOMultiTaskDataset(**tiny.config(own_root, pipeline=pipeline))
    (own_root / 'train2017' / f'{tiny.PARTS:012d}.jpg').unlink()
    for _ in range(8):
        assert dataset[0]['img_id'] == tiny.PLAIN
    assert dataset.num_broken == 1 and 'image 12' in log[-1]


def test_count_of_broken_images_reaches_the_main_process(own_root):
    (own_root / 'train2017' / f'{tiny.PLAIN:012d}.jpg').write_bytes(b'')
    dataset = COCOMultiTaskDataset(**tiny.config(own_root, check='none', pipeline=tiny.TEST_PIPELINE))
    loader = DataLoader(dataset, batch_size=2, num_workers=1, collate_fn=pseudo_collate)
    assert sum(len(batch['inputs']) for batch in loader) == len(tiny.SIZES)
    assert dataset.num_broken == 1


def test_errors_in_transforms_are_not_taken_for_broken_images(tiny_root):
    def fails(results):
        raise KeyError('a bug')

    dataset = COCOMultiTaskDataset(**tiny.config(tiny_root, pipeline=[*tiny.LOAD, fails]))
    with pytest.raises(KeyError, match='a bug'):
        dataset[0]
    assert dataset.num_broken == 0


def test_all_partners_broken_is_an_error(own_root):
    dataset = COCOMultiTaskDataset(**tiny.config(own_root))
    (own_root / 'train2017' / f'{tiny.NO_MAP:012d}.jpg').unlink()
    index = int(dataset.partners(('det', 'ins'))[0])
    with pytest.raises(RuntimeError, match='images in a row could not be loaded'):
        dataset.load_for_mix(index, Compose(tiny.LOAD))
