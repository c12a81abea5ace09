"""Batches of both views on the device."""

from typing import Any

import numpy as np
import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor

from ..registry import MODELS


@MODELS.register_module()
class YOLORMTLDataPreprocessor(DetDataPreprocessor):
    """mmdet's preprocessor plus the weak view for captions (paper section 3.3, REFERENCE_SPEC 4.4).

    Both views become RGB floats divided by 255; a backbone of another project may need another ``mean``, ``std`` or
    ``bgr_to_rgb``. The strong views of the batch are padded to a common size; the weak views, all of one size, are
    stacked for the samples that carry one.

    Args:
        pad_size_divisor: Pad the strong view to a multiple of this many px.
        pad_value: Grey of the padding before scaling, 0..255.
        kwargs: Passed on to mmdet's ``DetDataPreprocessor``.

    Returns (of ``forward``):
        ``inputs`` (B, 3, H, W), ``data_samples``, ``caption_inputs`` (Bc, 3, h, w) or None; Bc counts the samples
        that have ``caption_view``, in batch order.
    """

    def __init__(self, *, pad_size_divisor: int = 32, pad_value: float = 114, **kwargs: Any) -> None:
        kwargs = {'mean': [0.0, 0.0, 0.0], 'std': [255.0, 255.0, 255.0], 'bgr_to_rgb': True, **kwargs}
        # mmengine pads after it has normalised, with one value for all channels.
        grey = (pad_value - np.mean(kwargs['mean'])) / np.mean(kwargs['std'])
        super().__init__(pad_size_divisor=pad_size_divisor, pad_value=float(grey), pad_mask=False, **kwargs)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Collate, move, normalise.

        Raises:
            ValueError: If the weak views of a batch differ in size.
        """
        batch = super().forward(data, training)
        views = [sample.caption_view for sample in batch['data_samples'] or [] if 'caption_view' in sample]
        batch['caption_inputs'] = None
        if views:
            sizes = {tuple(view.shape) for view in views}
            if len(sizes) > 1:
                raise ValueError(f'caption views of one batch differ in size: {sorted(sizes)}; pad them in CaptionView')
            stacked = torch.stack(views).to(self.device, torch.float32)
            stacked = stacked[:, [2, 1, 0]] if self._channel_conversion else stacked
            batch['caption_inputs'] = (stacked - self.mean) / self.std
        return batch
