"""A canvas of several pictures that is drawn only once it is known from where it is looked at.

A mosaic of double size of which the next transform shows a part, resized, would be drawn twice and thrown away once.
So a mosaic is kept as a list of tiles, and :class:`MTLRandomAffine` draws each of them straight from its source to its
place in the result. Whatever else needs pixels calls :func:`draw_deferred`.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from ..label_space import UNLABELLED
from .labels import centred, layers_of, to_seg_map
from .polygons import FlatPolygons


@dataclass(frozen=True)
class Tile:
    """One picture on the canvas.

    Attributes:
        pixels: (h, w, 3) uint8.
        semantic: (h, w) or (L, h, w) uint8 semantic map of it, or None.
        matrix: (3, 3) affine matrix from its pixels to the canvas, on continuous coordinates, without rotation.
    """

    pixels: np.ndarray
    semantic: np.ndarray | None
    matrix: np.ndarray


@dataclass(frozen=True)
class Paste:
    """An object copied from one place of the canvas to another.

    Attributes:
        tile: The picture it comes from, its matrix leading to where the object goes.
        outline: Its mask (one instance) there, in canvas px.
        label: Its class in semantic maps.
    """

    tile: Tile
    outline: FlatPolygons
    label: int


@dataclass
class TiledCanvas:
    """Pictures side by side, cut at the border, and objects pasted over them.

    Attributes:
        height: H of the canvas, px.
        width: W of the canvas, px.
        pad_val: Grey where no picture is, 0..255.
        tiles: The pictures; they do not overlap.
        owners: (N,) the tile that each instance of the sample lies in.
        pastes: Objects over them, later ones on top.
    """

    height: int
    width: int
    pad_val: int
    tiles: list[Tile]
    owners: np.ndarray
    pastes: list[Paste] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, 3), as of the array that the canvas stands for."""
        return self.height, self.width, 3

    def draw(self, matrix: np.ndarray, out_shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Show the canvas through an affine matrix.

        Args:
            matrix (np.ndarray): (3, 3) canvas to result, on continuous pixel coordinates.
            out_shape (tuple[int, int]): (h, w) of the result, px.

        Returns:
            tuple: (h, w, 3) uint8 pixels, and the (L, h, w) uint8 semantic map, None if the pictures have none. The map
            has a layer for what the pictures show and, if objects were pasted, one for those: the label under a pasted
            object is kept (REFERENCE_SPEC 4.3).
        """
        pixels = np.full((*out_shape, 3), self.pad_val, dtype=np.uint8)
        maps = [None if tile.semantic is None else layers_of(tile.semantic) for tile in self.tiles]
        semantic = None
        if all(one is not None for one in maps):
            layers = max(len(one) for one in maps) + bool(self.pastes)
            semantic = np.full((layers, *out_shape), UNLABELLED, dtype=np.uint8)
        for tile, own_map in zip(self.tiles, maps, strict=True):
            self._draw_tile(tile.pixels, tile.matrix, matrix, pixels, cv2.INTER_LINEAR)
            if semantic is not None and own_map is not None:
                for source, target in zip(own_map, semantic, strict=False):
                    self._draw_tile(source, tile.matrix, matrix, target, cv2.INTER_NEAREST)
        for paste in self.pastes:
            _draw_paste(paste, matrix, pixels, semantic)
        return pixels, semantic

    def _draw_tile(
        self, source: np.ndarray, to_canvas: np.ndarray, matrix: np.ndarray, out: np.ndarray, interpolation: int
    ) -> None:
        """Draw what the canvas shows of one picture into ``out`` (in place)."""
        source, to_canvas = self._crop(source, to_canvas)
        if source.size == 0:
            return
        whole = matrix @ to_canvas
        first = np.maximum(to_canvas[:2, 2], 0)
        last = np.minimum(to_canvas[:2, 2] + np.diag(to_canvas)[:2] * source.shape[1::-1], (self.width, self.height))
        corners = np.array([first, last, (first[0], last[1]), (last[0], first[1])]) @ matrix[:2, :2].T + matrix[:2, 2]
        height, width = out.shape[:2]
        # A pixel is drawn if its centre lies in the picture.
        x1, y1 = np.clip(np.ceil(corners.min(0) - 0.5), 0, (width, height)).astype(int).tolist()
        x2, y2 = np.clip(np.ceil(corners.max(0) - 0.5), 0, (width, height)).astype(int).tolist()
        if x1 >= x2 or y1 >= y2:
            return
        upright = matrix[0, 1] == 0 and matrix[1, 0] == 0
        cv2.warpAffine(
            source,
            centred(_shift(-x1, -y1) @ whole),
            (x2 - x1, y2 - y1),
            dst=out[y1:y2, x1:x2],
            flags=interpolation,
            borderMode=cv2.BORDER_REPLICATE if upright else cv2.BORDER_TRANSPARENT,
        )

    def _crop(self, source: np.ndarray, to_canvas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cut away the pixels of the source that lie beyond the canvas."""
        scale, offset = np.diag(to_canvas)[:2], to_canvas[:2, 2]
        x1, y1 = np.clip(np.floor(-offset / scale), 0, None).astype(int).tolist()
        x2, y2 = np.clip(np.ceil(((self.width, self.height) - offset) / scale), 0, None).astype(int).tolist()
        return source[y1:y2, x1:x2], to_canvas @ _shift(x1, y1)


def draw_deferred(results: dict) -> None:
    """Draw the canvas of a sample as it is, if it has not been drawn yet (in place)."""
    canvas = results.get('img')
    if isinstance(canvas, TiledCanvas):
        show(results, canvas, np.eye(3), (canvas.height, canvas.width))


def show(results: dict, canvas: TiledCanvas, matrix: np.ndarray, out_shape: tuple[int, int]) -> None:
    """Make the view of a canvas through a matrix the picture and the semantic map of a sample (in place)."""
    results['img'], semantic = canvas.draw(matrix, out_shape)
    results['img_shape'] = out_shape
    if semantic is not None:
        results['gt_seg_map'] = to_seg_map(semantic)


def _shift(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


def _draw_paste(paste: Paste, matrix: np.ndarray, pixels: np.ndarray, semantic: np.ndarray | None) -> None:
    """Draw an object over pixels (h, w, 3) and into the last layer of a semantic map (L, h, w), both in place."""
    outline = paste.outline.affine(matrix)
    size = pixels.shape[1::-1]
    x1, y1 = np.clip(np.floor(outline.points.min(0)), 0, size).astype(int).tolist()
    x2, y2 = np.clip(np.ceil(outline.points.max(0)), 0, size).astype(int).tolist()
    if x1 >= x2 or y1 >= y2:
        return
    corner = _shift(-x1, -y1)
    mask = outline.affine(corner).rasterize(y2 - y1, x2 - x1)[0]
    placed = centred(corner @ matrix @ paste.tile.matrix)
    drawn = cv2.warpAffine(
        paste.tile.pixels, placed, (x2 - x1, y2 - y1), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    cv2.copyTo(drawn, mask, pixels[y1:y2, x1:x2])
    if semantic is not None:
        semantic[-1, y1:y2, x1:x2][mask > 0] = paste.label
