import json

import cv2
import pytest

from mmyolor_mtl.visualization.report import ReportScene, plot_curves, read_scalars, write_report


def records(steps=(10, 20, 30)):
    out = [{'loss': 3.0 / step, 'loss_det_cls': 1.0, 'lr': 0.1, 'step': step, 'epoch': 1} for step in steps]
    return out + [{'coco/bbox_mAP': 0.1 * epoch, 'sem/mIoU': 0.2, 'data_time': 1.0, 'step': epoch} for epoch in (1, 2)]


def test_page_shows_figures_pictures_and_words(tmp_path):
    scenes = [ReportScene('a', tmp_path / 'pictures' / 'a.png', 'A <b>cat</b> & dog', ['One cat', 'Two "dogs"'])]
    figures = {'coco/bbox_mAP': 0.75123, 'cap/CIDEr': 1.5, 'sem/mIoU': None, 'train_seconds': 90, 'seconds': 100.5}
    write_report(tmp_path / 'index.html', 'T', 'lead', figures, scenes, tmp_path / 'curves.png')
    page = (tmp_path / 'index.html').read_text()
    assert 'src="pictures/a.png"' in page and 'src="curves.png"' in page and str(tmp_path) not in page
    assert '<b>0.751</b><span>Box AP' in page and '<b>1.50</b><span>CIDEr' in page and '<span>mIoU' not in page
    assert '<b>1.5</b><span>minutes of training' in page
    assert 'A &lt;b&gt;cat&lt;/b&gt; &amp; dog' in page and 'Two &quot;dogs&quot;' in page
    assert 'http' not in page.replace('http-equiv', '')  # nothing is loaded from elsewhere


def test_page_without_captions_and_curves(tmp_path):
    write_report(tmp_path / 'index.html', 'T', '', {}, [ReportScene('a', tmp_path / 'a.png')], None)
    page = (tmp_path / 'index.html').read_text()
    assert 'class="said"' not in page and 'Training' not in page


def test_pictures_outside_the_folder_are_an_error(tmp_path):
    with pytest.raises(ValueError, match='not in the subpath'):
        write_report(tmp_path / 'sub' / 'index.html', 'T', '', {}, [ReportScene('a', tmp_path / 'a.png')], None)


def test_curves_of_losses_and_metrics(tmp_path):
    file = tmp_path / 'scalars.json'
    file.write_text('\n'.join(json.dumps(record) for record in records()) + '\n\n')
    read = read_scalars([file])
    assert read == records()
    assert plot_curves(read, tmp_path / 'both.png')
    assert plot_curves([record for record in read if 'loss' in record], tmp_path / 'losses.png')
    both, losses = cv2.imread(str(tmp_path / 'both.png')), cv2.imread(str(tmp_path / 'losses.png'))
    assert both.shape[1] == 2 * losses.shape[1]


def test_one_evaluation_is_no_curve_and_nothing_is_not_drawn(tmp_path):
    once = [record for record in records() if 'loss' not in record][:1]
    assert not plot_curves(once, tmp_path / 'c.png') and not plot_curves([], tmp_path / 'c.png')
    assert not (tmp_path / 'c.png').exists()
