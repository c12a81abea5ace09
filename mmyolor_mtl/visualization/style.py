"""Names and colours of classes, and how strongly they cover the image."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import canvas
from .canvas import Color


@dataclass
class Style:
    """How classes look. Where names or colours are missing, numbers and generated colours stand in.

    Attributes:
        meta (Mapping): ``classes``, ``stuff_classes`` and ``extra_classes`` with ``palette`` and ``stuff_palette``.
        mask_alpha (float): Opacity of object masks in [0, 1].
        sem_alpha (float): Opacity of semantic and panoptic maps in [0, 1].
    """

    meta: Mapping[str, Any] = field(default_factory=dict)
    mask_alpha: float = 0.45
    sem_alpha: float = 0.6

    @property
    def num_things(self) -> int:
        """Number of thing classes."""
        return len(self.meta.get('classes') or ())

    @property
    def num_evaluated(self) -> int:
        """Number of thing and stuff classes, also the id of void pixels in panoptic maps."""
        return self.num_things + len(self.meta.get('stuff_classes') or ())

    def names(self, number: int = 0) -> list[str]:
        """Names of all semantic channels, filled up to ``number``."""
        names = [str(n) for key in ('classes', 'stuff_classes', 'extra_classes') for n in self.meta.get(key) or ()]
        return names + [f'class {i}' for i in range(len(names), number)]

    def colors(self, number: int = 0) -> list[Color]:
        """Colours of all semantic channels, filled up to ``number``."""
        things, stuff = self.num_things, self.num_evaluated - self.num_things
        colors = canvas.class_colors(things, self.meta.get('palette'))
        if stuff:
            # Generated colours of stuff continue where those of things end.
            generated = canvas.class_colors(things + stuff)[things:]
            given = canvas.class_colors(stuff, self.meta.get('stuff_palette'))
            colors += given if self.meta.get('stuff_palette') else generated
        colors += [(150 - 40 * i % 120,) * 3 for i in range(len(self.meta.get('extra_classes') or ()))]
        return colors + canvas.class_colors(max(number, len(colors)))[len(colors) :]
