"""Merged data sets keep every label under the right class, whatever ids the parts had."""

import json

import pytest

from mmyolor_mtl.datasets.converters import convert_labelme, merge_coco
from mmyolor_mtl.registry import DATASETS

from .. import tiny_coco
from . import coco_zips
from .helpers import by_class, labelme, read, rectangle, semantic


def part(folder, name, things, stuff, captions=None):
    """A converted LabelMe folder with one image."""
    shapes = [rectangle(label, 2, 2 + 10 * i, 12, 8 + 10 * i) for i, label in enumerate(things)]
    shapes += [rectangle(label, 30, 10 * i, 60, 10 * i + 10) for i, label in enumerate(stuff)]
    labelme(folder / f'photos_{name}', 'a', shapes, **({'captions': captions} if captions else {}))
    convert_labelme(folder / f'photos_{name}', folder / name, things, stuff)
    return folder / name


def entry(root, **extra):
    found = {'instances': root / 'annotations/instances.json', 'classes': root / 'classes.json'}
    if (root / 'annotations/captions.json').is_file():
        found['captions'] = root / 'annotations/captions.json'
    if (root / 'stuffthingmaps').is_dir():
        found['maps'] = root / 'stuffthingmaps'
    return {**{key: str(value) for key, value in found.items()}, **extra}


def test_classes_are_merged_by_name_and_everything_renumbered(tmp_path):
    north = part(tmp_path, 'north', ['car', 'dog'], ['road'], captions=['A car.'])
    south = part(tmp_path, 'south', ['cat', 'car'], ['sky', 'road'], captions=['A cat.', 'A road.'])
    out = tmp_path / 'out'
    counts = merge_coco([entry(north, prefix='north/'), entry(south, prefix='south/')], out)
    assert counts == {'images': 2, 'instances': 4, 'captions': 3, 'maps': 2}
    instances = read(out / 'annotations/instances.json')
    assert [(c['id'], c['name']) for c in instances['categories']] == [(1, 'car'), (2, 'dog'), (3, 'cat')]
    assert set(by_class(instances, 'north/a.jpg')) == {'car', 'dog'}
    assert by_class(instances, 'south/a.jpg')['car'][0]['bbox'] == [2, 12, 10, 6]
    assert len({a['id'] for a in instances['annotations']}) == 4
    captions = read(out / 'annotations/captions.json')
    (image,) = (i['id'] for i in captions['images'] if i['file_name'] == 'south/a.jpg')
    assert [a['caption'] for a in captions['annotations'] if a['image_id'] == image] == ['A cat.', 'A road.']
    # car 1, dog 2, cat 3, road 4, sky 5; maps hold the id - 1.
    first, second = (semantic(out / f'stuffthingmaps/{name}/a.png') for name in ('north', 'south'))
    assert (first[5, 40], first[4, 5], first[14, 5], first[30, 40]) == (3, 0, 1, 255)
    assert (second[5, 40], second[15, 40], second[4, 5], second[14, 5]) == (4, 3, 2, 0)

    images = tmp_path / 'images'
    images.mkdir()
    (images / 'north').symlink_to(north / 'images')
    (images / 'south').symlink_to(south / 'images')
    metainfo = {}
    exec((out / 'metainfo.py').read_text(), metainfo)
    dataset = DATASETS.build(
        dict(
            type='mmyolor_mtl.COCOMultiTaskDataset',
            ann_file=str(out / 'annotations/instances.json'),
            caption_file=str(out / 'annotations/captions.json'),
            data_prefix=dict(img=str(images), seg=str(out / 'stuffthingmaps')),
            metainfo=metainfo['metainfo'],
            check='decode',
            pipeline=[],
        )
    )
    assert [dataset.get_data_info(i)['labelled_tasks'] for i in range(2)] == [('det', 'ins', 'sem', 'cap')] * 2


def test_ids_stay_where_nothing_clashes(tmp_path):
    root = coco_zips.build_source(tmp_path)
    halves = []
    for number, chosen in enumerate(((11, 12, 13), (14, 15, 17))):
        sources = {}
        for kind in ('instances', 'captions', 'panoptic'):
            content = tiny_coco.read(root, f'{kind}_train2017')
            content['images'] = [i for i in content['images'] if i['id'] in chosen]
            content['annotations'] = [a for a in content['annotations'] if a['image_id'] in chosen]
            tiny_coco.write(root, f'{kind}_{number}', content)
            sources[kind] = str(root / f'annotations/{kind}_{number}.json')
        halves.append(sources)
    merge_coco(halves, tmp_path / 'out')
    for kind in ('instances', 'captions', 'panoptic'):
        whole, merged = tiny_coco.read(root, f'{kind}_train2017'), read(tmp_path / f'out/annotations/{kind}.json')
        kept = [a for a in whole['annotations'] if a['image_id'] != tiny_coco.CAPTION_ONLY]
        assert merged['annotations'] == kept
    assert not (tmp_path / 'out/stuffthingmaps').exists()


def test_sets_without_classes_and_of_different_kinds(tmp_path):
    root = tiny_coco.build(tmp_path)
    other = tiny_coco.build(tmp_path / 'other')
    sets = [
        {'instances': str(root / 'annotations/instances_train2017.json'), 'prefix': 'a/'},
        {'captions': str(other / 'annotations/captions_train2017.json'), 'prefix': 'b/'},
    ]
    with pytest.raises(ValueError, match='has no categories|both have an image'):
        merge_coco([sets[0], {**sets[1], 'prefix': 'a/'}], tmp_path / 'out')
    counts = merge_coco(sets, tmp_path / 'out')
    assert counts['images'] == 12 and counts['captions'] == 30
    assert (
        len(
            {i['id'] for k in ('instances', 'captions') for i in read(tmp_path / f'out/annotations/{k}.json')['images']}
        )
        == 12
    )


def test_bad_sets(tmp_path):
    north = part(tmp_path, 'north', ['car'], ['road'])
    south = part(tmp_path, 'south', ['road'], ['car'])
    out = tmp_path / 'out'
    with pytest.raises(ValueError, match="'road' is a thing in one data set and stuff in another"):
        merge_coco([entry(north, prefix='n/'), entry(south, prefix='s/')], out)
    with pytest.raises(ValueError, match='sets 1 and 2 both have an image called a.jpg: give the sets prefixes'):
        merge_coco([entry(north), entry(north)], out)
    with pytest.raises(ValueError, match='with at least one file'):
        merge_coco([{'prefix': 'n/'}], out)
    with pytest.raises(FileNotFoundError, match='folder of semantic maps .* does not exist'):
        merge_coco([entry(north, maps=str(tmp_path / 'nowhere'))], out)
    bare = entry(north)
    del bare['classes']
    with pytest.raises(ValueError, match='holds ids of no class of the set: name its stuff'):
        merge_coco([bare], out)
    content = read(north / 'annotations/instances.json')
    content['annotations'][0]['image_id'] = 77
    (north / 'annotations/instances.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match='annotation 1 of image 77: id 77 is not listed'):
        merge_coco([entry(north)], out)
    assert not out.exists() and not list(tmp_path.glob('.out*'))
