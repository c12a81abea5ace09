import json

from mmyolor_mtl.visualization.error_page import write_error_page
from mmyolor_mtl.visualization.report import ReportScene

COUNTS = {
    'objects': 4, 'found': 2, 'correct': 2, 'class': 1, 'localisation': 0, 'both': 0, 'duplicate': 0, 'background': 1,
    'ignored': 0, 'missed': 1,
}  # fmt: skip


def detections(number):
    """What an analysis says of ``number`` classes, each taken for the next once."""
    names = [f'class <{i}>' for i in range(number)]
    confusion = [[int(j in (i, (i + 1) % number)) for j in range(number + 1)] for i in range(number + 1)]
    return {
        'images': 1,
        'score_thr': 0.3,
        'counts': COUNTS,
        'sizes': {'small': {**COUNTS, 'objects': 0}, 'large': COUNTS},
        'names': names,
        'confusion': confusion,
        'confused': [{'true': n, 'predicted': names[0], 'count': 1, 'share_of_true': 0.5} for n in names],
        'classes': [{'name': n, 'objects': 1, 'recall': 0.5, 'detections': 0, 'precision': 0.0} for n in names],
        'scores': {'correct': [1, 0], 'wrong': [0, 2]},
    }


def test_only_the_tasks_judged_are_on_the_page(tmp_path):
    write_error_page(tmp_path / 'index.html', 'T', 'lead', {}, {'ins': detections(3)}, {})
    text = (tmp_path / 'index.html').read_text()
    assert '<h2>Masks (1 image with labels)</h2>' in text and 'href="#ins"' in text
    assert 'id="det"' not in text and 'Worst images' not in text and 'All figures' not in text
    assert '<td>small</td><td>0</td><td>-</td>' in text  # no object, no recall
    assert 'class &lt;0&gt;' in text and 'class <0>' not in text


def test_long_lists_are_folded_and_large_matrices_cut(tmp_path):
    page = tmp_path / 'index.html'
    write_error_page(page, 'T', '', {'coco/bbox_mAP': 0.5}, {'det': detections(40)}, {'det': []})
    text = page.read_text()
    assert 'The 24 of 40 classes with most errors.' in text and '40 in all' in text
    rows = text.split('class="matrix"')[1].split('</table>')[0].count('<tr><th>')
    assert rows == 1 + 24 + 1  # its head, the classes and the background
    assert '<b>0.500</b><span>Box AP' in text


def test_cards_name_the_error(tmp_path):
    scene = ReportScene('a.jpg, image 3', tmp_path / 'pictures' / 'a.jpg', note='1 of the <wrong> class')
    write_error_page(tmp_path / 'index.html', 'T', '', {}, {'det': detections(2)}, {'det': [scene]})
    text = (tmp_path / 'index.html').read_text()
    assert '<p class="note">1 of the &lt;wrong&gt; class</p>' in text and 'src="pictures/a.jpg"' in text
    assert json.dumps(str(tmp_path))[1:-1] not in text


def test_captions_by_length(tmp_path):
    lengths = [
        {'shortest': 3, 'longest': 5, 'captions': 2, 'reference_words': 6.0, 'CIDEr': 1.25, 'Bleu_4': 0.5},
        {'shortest': 6, 'longest': 6, 'captions': 1, 'reference_words': 6.0, 'CIDEr': 0.0, 'Bleu_4': 0.0},
    ]
    found = {'images': 3, 'figures': {'CIDEr': 0.8}, 'lengths': lengths, 'scores': [0.0, 2.4, 0.1]}
    write_error_page(tmp_path / 'index.html', 'T', '', {}, {'cap': found}, {})
    text = (tmp_path / 'index.html').read_text()
    assert '<td>3 to 5</td><td>2</td>' in text and '<td>6</td><td>1</td>' in text and '1.250' in text
    assert 'images, 2.40 to 2.55: 1' in text and 'images, 0.00 to 0.15: 2' in text
