"""The weak view and its sentence (REFERENCE_SPEC 4.4): captions see the whole picture, unaltered."""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from mmyolor_mtl.registry import TOKENIZERS, TRANSFORMS
from mmyolor_mtl.utils.letterbox import PAD_VALUE, letterbox

from .tiles import draw_deferred


@TRANSFORMS.register_module()
class CaptionView(BaseTransform):
    """Keep a resized and padded copy of the picture for the caption task.

    It stands before the strong transforms. After them, captions see what vision sees: that is the paper's ablation of
    strong augmentation for both. Images without a caption get no view.

    Required keys: ``img``, ``labelled_tasks``. Added keys: ``caption_view`` (h, w, 3) uint8, ``caption_region``
    (x1, y1, x2, y2) px, what of the view is picture and not padding.

    Args:
        scale (tuple[int, int]): (w, h) of the view, px.
        pad_val (int): Grey of the padding, 0..255.
    """

    def __init__(self, scale: tuple[int, int], pad_val: int = PAD_VALUE) -> None:
        self.scale = (int(scale[0]), int(scale[1]))
        self.pad_val = pad_val

    def transform(self, results: dict) -> dict:
        """Add the view if the image has a caption."""
        if 'cap' not in results['labelled_tasks']:
            return results
        draw_deferred(results)
        image = results['img']
        view, _, (top, bottom, left, right) = letterbox(image, self.scale, pad_val=self.pad_val, area_shrink=False)
        # Nothing was copied if the picture had this very size: the next transforms must not draw into the view.
        results['caption_view'] = view.copy() if view is image else view
        results['caption_region'] = (left, top, self.scale[0] - right, self.scale[1] - bottom)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(scale={self.scale}, pad_val={self.pad_val})'


@TRANSFORMS.register_module()
class TokenizeCaption(BaseTransform):
    """Draw captions of the image at random and turn them into ids.

    Where the data set is indexed by caption, the sample's own caption comes first and only the others are drawn.

    Required keys: ``captions``, ``labelled_tasks``, optionally ``caption_index`` (which caption the sample is). Added
    key: ``gt_caption_ids`` (K, T) int64, from start to end token, then padding; K is ``captions_per_image``, or fewer
    for an image with fewer captions.

    Args:
        tokenizer (dict): Config of a tokenizer from the registry ``TOKENIZERS``.
        max_length (int): Longest T, start and end included.
        captions_per_image (int): How many different captions to draw. The caption head encodes an image once for all
            of them, so more cost little.

    Raises:
        ValueError: ``max_length`` below 3 or ``captions_per_image`` below 1.
    """

    def __init__(self, tokenizer: dict[str, Any], max_length: int, captions_per_image: int = 1) -> None:
        if max_length < 3:
            raise ValueError(f'max_length={max_length} leaves no room for a word between start and end')
        if captions_per_image < 1:
            raise ValueError(f'captions_per_image={captions_per_image} must be at least 1')
        # The registry is a root of its own, which the default scope of a config does not lead to.
        self.tokenizer = TOKENIZERS.build({'_scope_': 'mmyolor_mtl', **tokenizer})
        self.max_length = max_length
        self.captions_per_image = captions_per_image

    def transform(self, results: dict) -> dict:
        """Add the ids if the image has a caption."""
        if 'cap' in results['labelled_tasks']:
            captions = results['captions']
            order = np.random.permutation(len(captions))
            if 'caption_index' in results:
                order = np.concatenate([[results['caption_index']], order[order != results['caption_index']]])
            drawn = order[: self.captions_per_image]
            rows = [self.tokenizer.encode(captions[i], self.max_length) for i in drawn]
            ids = np.full((len(rows), max(map(len, rows))), self.tokenizer.pad_id, dtype=np.int64)
            for row, tokens in zip(ids, rows, strict=True):
                row[: len(tokens)] = tokens
            results['gt_caption_ids'] = ids
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(tokenizer={self.tokenizer}, max_length={self.max_length}, '
            f'captions_per_image={self.captions_per_image})'
        )
