"""Draw docs/_static/architecture.png, the network with its two views: ``python docs/scripts/architecture.py``."""

from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

OUT = Path(__file__).resolve().parents[1] / '_static/architecture.png'
INK = '#22303c'
VIEW, TRUNK, VISION, LANGUAGE, RESULT = '#e8eaed', '#cfe0f3', '#d5ead6', '#f6e2c4', '#ffffff'


def box(axes, x, y, width, height, title, lines=(), colour=RESULT):
    """A rounded box with a title and small lines below it; (x, y) is its lower left corner."""
    shape = FancyBboxPatch((x, y), width, height, boxstyle='round,pad=0,rounding_size=0.12', fc=colour, ec=INK, lw=1.1)
    axes.add_patch(shape)
    middle = y + height / 2
    step = 0.34
    top = middle + step * len(lines) / 2
    axes.text(x + width / 2, top, title, ha='center', va='center', fontsize=11, weight='bold', color=INK)
    for number, line in enumerate(lines, 1):
        axes.text(x + width / 2, top - step * number, line, ha='center', va='center', fontsize=8.8, color=INK)


def arrow(axes, *points, dashed=False):
    """A line through points with a head at its end."""
    style = dict(color=INK, lw=1.3, ls='--' if dashed else '-')
    for start, end in zip(points[:-2], points[1:-1], strict=True):
        axes.plot(*zip(start, end, strict=True), **style)
    axes.annotate('', points[-1], points[-2], arrowprops=dict(arrowstyle='-|>', shrinkA=0, shrinkB=1, **style))


def draw():
    """The whole figure."""
    figure, axes = plt.subplots(figsize=(13.8, 6.5))
    axes.set(xlim=(0, 18.5), ylim=(0.4, 8.7))
    axes.axis('off')

    box(axes, 0.1, 5.6, 2.7, 1.7, 'strong view', ['mosaic, affine, mixup,', 'colours, flip', '(training)'], VIEW)
    box(axes, 0.1, 1.15, 2.7, 1.4, 'weak view', ['resized, padded', '(training)'], VIEW)
    box(axes, 0.1, 3.35, 2.7, 1.4, 'picture', ['(inference: one pass', 'for all heads)'], VIEW)
    box(
        axes,
        3.9,
        2.9,
        2.6,
        2.6,
        'backbone',
        ['ELAN or GELAN', 'C3, C4, C5', 'strides 8, 16, 32', 'shared by all tasks'],
        TRUNK,
    )
    box(axes, 7.6, 4.6, 2.3, 2.0, 'neck', ['PAFPN', 'P3, P4, P5', 'shared by vision'], TRUNK)

    box(axes, 11.0, 7.1, 3.1, 1.4, 'detection head', ['anchor-free,', 'boxes as distributions'], VISION)
    box(axes, 11.0, 5.1, 3.1, 1.4, 'mask head', ['32 prototypes,', 'coefficients a box'], VISION)
    box(axes, 11.0, 3.1, 3.1, 1.4, 'semantic head', ['1x1 convolution', 'on the finest level'], VISION)
    box(axes, 11.0, 0.6, 3.1, 1.5, 'caption head', ['transformer decoder,', 'no encoder'], LANGUAGE)

    box(axes, 15.0, 7.3, 2.7, 1.0, 'boxes, classes')
    box(axes, 15.0, 5.3, 2.7, 1.0, 'instance masks')
    box(axes, 15.0, 3.3, 2.7, 1.0, 'semantic map')
    box(axes, 15.0, 1.95, 2.7, 0.9, 'panoptic map')
    box(axes, 15.0, 0.6, 2.7, 0.9, 'sentence')

    arrow(axes, (2.8, 6.45), (3.35, 6.45), (3.35, 4.9), (3.9, 4.9))
    arrow(axes, (2.8, 4.05), (3.9, 4.05))
    arrow(axes, (2.8, 1.85), (3.35, 1.85), (3.35, 3.4), (3.9, 3.4))
    arrow(axes, (6.5, 5.0), (7.6, 5.0))
    arrow(axes, (6.5, 3.4), (7.05, 3.4), (7.05, 1.35), (11.0, 1.35))
    for y in (7.8, 5.8, 3.8):
        arrow(axes, (9.9, 5.6), (10.45, 5.6), (10.45, y), (11.0, y))
    for y in (7.8, 5.8, 3.8):
        arrow(axes, (14.1, y), (15.0, y))
    arrow(axes, (14.1, 1.05), (15.0, 1.05))
    arrow(axes, (12.55, 7.1), (12.55, 6.5))
    axes.text(12.7, 6.8, 'which anchors, which boxes', ha='left', va='center', fontsize=8.8, color=INK, style='italic')
    # Made of masks and map, without a head of its own.
    arrow(axes, (17.7, 5.8), (18.4, 5.8), (18.4, 2.25), (17.7, 2.25), dashed=True)
    arrow(axes, (17.7, 3.8), (18.05, 3.8), (18.05, 2.55), (17.7, 2.55), dashed=True)
    figure.savefig(OUT, dpi=110, bbox_inches='tight', facecolor='white', metadata={'Software': None})


if __name__ == '__main__':
    draw()
