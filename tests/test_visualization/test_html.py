import re

from mmyolor_mtl.visualization import html


def test_plain_text_stays_plain():
    nasty = '<b>"x" & y'
    for text in (
        html.page(nasty, nasty, '', ''),
        html.tiles([(nasty, nasty)]),
        html.table((nasty,), [(nasty,)]),
        html.matrix([nasty], [nasty], [[3]]),
        html.histogram({nasty: [1]}, {nasty: '#000'}, 0, 1),
        html.panel(nasty, ''),
        html.folded(nasty, ''),
    ):
        assert '<b>"' not in text and '&lt;b&gt;&quot;x&quot; &amp; y' in text


def test_tables_show_figures_counts_and_bars():
    text = html.table(('a', 'b', 'c', 'd'), [(1234567, 0.5, html.Bar(0.25), html.Bar(0))])
    assert re.findall('<td>(.*?)</td>', text) == [
        '1,234,567',
        '0.5000',
        '<span class="bar" style="width:2.50rem"></span>',
        '',
    ]
    assert '<thead>' not in html.table((), [(1,)])


def test_a_matrix_is_green_on_its_diagonal_and_red_elsewhere():
    text = html.matrix(['cat', 'dog'], ['cat', 'dog'], [[3, 1], [0, 0]])
    cells = re.findall(r'rgba\((\d+),\d+,\d+,([\d.]+)\)" title="(.*?)">(\d*)<', text)
    assert cells == [
        ('47', '0.75', 'cat as cat: 3 of 4', '3'),
        ('214', '0.25', 'cat as dog: 1 of 4', '1'),
        ('214', '0.00', 'dog as cat: 0 of 1', ''),
        ('47', '0.00', 'dog as dog: 0 of 1', ''),
    ]


def test_columns_of_a_histogram_stand_on_each_other():
    text = html.histogram({'right': [1, 0], 'wrong': [3, 2]}, {'right': 'green', 'wrong': 'red'}, 0, 1, mark=0.5)
    bars = re.findall(r'y="([\d.]+)" width="[\d.]+" height="([\d.]+)" fill="(\w+)"><title>(.*?)</title>', text)
    assert [(fill, title) for _, _, fill, title in bars] == [
        ('green', 'right, 0.00 to 0.50: 1'),
        ('red', 'wrong, 0.00 to 0.50: 3'),
        ('red', 'wrong, 0.50 to 1.00: 2'),
    ]
    tops = [float(y) for y, _, _, _ in bars]
    heights = [float(tall) for _, tall, _, _ in bars]
    assert tops[1] + heights[1] == tops[0] and heights[1] == 3 * heights[0] and 'stroke-dasharray' in text
    assert html.histogram({'none': [0, 0]}, {'none': 'red'}, 0, 1).startswith('<svg')
