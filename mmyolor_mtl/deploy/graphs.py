"""The two graphs that are exported: what the network sees in a picture, and one word of a caption."""

from typing import Any

import torch
from torch import Tensor, nn

from mmyolor_mtl.models.detectors import YOLORMTL
from mmyolor_mtl.models.heads import CaptionHead, RegionCaptionHead
from mmyolor_mtl.models.heads.base_caption_head import BaseCaptionHead
from mmyolor_mtl.models.heads.caption_head import cell_mask
from mmyolor_mtl.models.layers.attention import KeyValue
from mmyolor_mtl.models.task_modules import distances_to_boxes


class VisionGraph(nn.Module):
    """Everything that depends on the picture alone, before any choice is made.

    Args:
        model: The network in its deploy form.

    Attributes:
        output_names: Names of the outputs, in order: ``boxes`` (B, N, 4) xyxy px of the input and ``scores`` (B, N, C)
            in [0, 1]; ``mask_coefs`` (B, N, M) and ``mask_protos`` (B, M, H/4, W/4); ``sem_logits`` (B, S, H/4, W/4);
            ``memory_0``, ...: what :class:`CaptionStep` looks at. Those of heads that the network lacks are absent.

    Shapes:
        image (B, 3, H, W), RGB in [0, 1], H and W multiples of 32; region (B, 4), the part of the input that shows the
        picture, xyxy px, which only networks with a :class:`CaptionHead` take.
    """

    def __init__(self, model: YOLORMTL) -> None:
        super().__init__()
        self.model = model
        self.output_names: list[str] = []

    def forward(self, image: Tensor, region: Tensor | None = None) -> tuple[Tensor, ...]:
        """Run all heads."""
        model = self.model
        feats = model.extract_feat(image, tuple({'backbone', *(head.source for head in model.heads.values())}))
        shared: dict[str, Any] = {}
        outputs: dict[str, Tensor] = {}
        for task, head in model.heads.items():
            if task == 'cap':
                memory = _memory(head, feats[head.source], region, shared)
                outputs.update({f'memory_{i}': part for i, part in enumerate(memory)})
                continue
            raw = head(feats[head.source])
            shared.update(raw)
            if task == 'det':
                points, stride = head.anchors(feats[head.source])
                distances = head.inference_branches.projection(raw['box_dists'])
                outputs['boxes'] = distances_to_boxes(points, distances * stride)
                outputs['scores'] = raw['cls_logits'].sigmoid()
            else:
                outputs.update({name: raw[name] for name in OUTPUTS[task]})
        self.output_names = list(outputs)
        return tuple(outputs.values())


OUTPUTS = {'ins': ('mask_coefs', 'mask_protos'), 'sem': ('sem_logits',)}


class CaptionStep(nn.Module):
    """One more token for each of K sentences about each of B pictures.

    Args:
        head: The caption head.

    Shapes:
        tokens (B, K) int64; cache (B, K, L, 2, heads, T, D / heads), keys and values of the T tokens before in each of
        L layers, T = 0 at the start; memory as :class:`VisionGraph` gives it -> log-probabilities (B, K, V) of the next
        token, and the cache with T + 1.
    """

    def __init__(self, head: BaseCaptionHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, tokens: Tensor, cache: Tensor, *memory: Tensor) -> tuple[Tensor, Tensor]:
        """Write one token."""
        past = [
            (cache[:, :, i, 0].flatten(0, 1), cache[:, :, i, 1].flatten(0, 1)) for i in range(cache.shape[2])
        ]
        logits, seen = _step(self.head, tokens.flatten(), cache.shape[5], memory, past)
        shape = tokens.shape
        log_probs = logits.log_softmax(-1).unflatten(0, shape)
        new = torch.stack([torch.stack(pair, 1) for pair in seen], 1).unflatten(0, shape)
        return log_probs, new


def _memory(head: BaseCaptionHead, feats, region, shared) -> list[Tensor]:
    if isinstance(head, RegionCaptionHead):
        memories = head.memory(feats, None, shared)
        return [part for layer in head.decoder.layers for pair in layer.project(memories) for part in pair]
    masks = [cell_mask(region, feat.shape[-2:], stride) for feat, stride in zip(feats, head.strides, strict=True)]
    memory = head.memory_of_cells(feats, masks)
    if head.encoder is not None:
        memory = head.encoder(memory)
    pairs = head.decoder.project_memory(memory)
    return [memory.mask, *(part for pair in pairs for part in pair)]


def _step(head, tokens, place, memory, past):
    if isinstance(head, RegionCaptionHead):
        images = [((a, b), (c, d)) for a, b, c, d in zip(*(memory[i::4] for i in range(4)), strict=True)]
        return head.decoder.step(tokens, place, images, past)
    mask, pairs = memory[0], list(zip(memory[1::2], memory[2::2], strict=True))
    return head.decoder.step(tokens, place, pairs, mask[:, None, None], past)
