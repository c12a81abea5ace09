"""The two graphs that are exported: what the network sees in a picture, and one more word of a caption."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmyolor_mtl.models.detectors.yolor_mtl import YOLORMTL, Features
from mmyolor_mtl.models.heads import RegionCaptionHead
from mmyolor_mtl.models.heads.caption_head import cell_mask
from mmyolor_mtl.models.layers.attention import KeyValue, MultiHeadAttention
from mmyolor_mtl.models.task_modules import distances_to_boxes

_OUTPUTS = {'det': ('boxes', 'scores'), 'ins': ('mask_coefs', 'mask_protos'), 'sem': ('sem_logits',)}


class VisionGraph(nn.Module):
    """Everything that depends on the picture alone, before anything is chosen.

    Args:
        model: The network in its deploy form; its caption decoder is changed for the export.

    Shapes:
        image (B, 3, H, W), RGB in [0, 1], H and W multiples of 32; region (B, 4), the part of the input that shows the
        picture, xyxy px, if :attr:`takes_region` -> a tensor for each of :attr:`output_names`.
    """

    def __init__(self, model: YOLORMTL) -> None:
        super().__init__()
        self.model = model
        if 'cap' in model.heads:
            _prepare_attention(model.heads['cap'])

    @property
    def takes_region(self) -> bool:
        """Whether the caption head looks at the picture without the bars of its letterbox."""
        head = dict(self.model.heads.items()).get('cap')
        return head is not None and not isinstance(head, RegionCaptionHead)

    @property
    def output_names(self) -> tuple[str, ...]:
        """``boxes`` (B, N, 4) xyxy px of the input and ``scores`` (B, N, C) in [0, 1]; ``mask_coefs`` (B, N, M) and
        ``mask_protos`` (B, M, H/4, W/4); ``sem_logits`` (B, S, H/4, W/4); ``memory_0``, ...: what :class:`CaptionStep`
        looks at. Those of heads that the network lacks are absent.
        """
        names: list[str] = []
        for task, head in self.model.heads.items():
            names += memory_names(head) if task == 'cap' else _OUTPUTS[task]
        return tuple(names)

    def forward(self, image: Tensor, region: Tensor | None = None) -> tuple[Tensor, ...]:
        """Run all heads."""
        model = self.model
        feats = model.extract_feat(image, tuple({'backbone', *(head.source for head in model.heads.values())}))
        outputs, shared = vision_outputs(model, feats)
        if 'cap' in model.heads:
            head = model.heads['cap']
            outputs.update(zip(memory_names(head), _memory(head, feats[head.source], region, shared), strict=True))
        return tuple(outputs[name] for name in self.output_names)


def vision_outputs(model: YOLORMTL, feats: Features) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Outputs of :class:`VisionGraph` that are not for captions, and the raw outputs that caption heads may need."""
    outputs: dict[str, Tensor] = {}
    shared: dict[str, Tensor] = {}
    for task, head in model.vision_heads.items():
        raw = head(feats[head.source])
        shared.update(raw)
        if task == 'det':
            points, stride = head.anchors(feats[head.source])
            distances = head.inference_branches.projection(raw['box_dists'])
            outputs['boxes'] = distances_to_boxes(points, distances * stride)
            outputs['scores'] = raw['cls_logits'].sigmoid()
        else:
            outputs.update({name: raw[name] for name in _OUTPUTS[task]})
    return outputs, shared


class CaptionStep(nn.Module):
    """One more token for each of K sentences about each of B pictures.

    Args:
        head: The caption head of a network that :class:`VisionGraph` was made of.

    Shapes:
        tokens (B, K) int64; cache (B, K, L, 2, heads, T, D / heads), keys and values of the T tokens before in each of
        L layers, T = 0 at the start; memory as :class:`VisionGraph` gives it -> log-probabilities (B, K, V) of the next
        token, and the cache with T + 1.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    @property
    def cache_shape(self) -> tuple[int, int, int]:
        """Layers, heads and channels a head of the cache."""
        decoder = self.head.decoder
        attention = next(part for part in decoder.modules() if isinstance(part, MultiHeadAttention))
        return len(decoder.layers), attention.num_heads, attention.q_proj.out_features // attention.num_heads

    def forward(self, tokens: Tensor, cache: Tensor, *memory: Tensor) -> tuple[Tensor, Tensor]:
        """Write one token."""
        past = [(cache[:, :, i, 0].flatten(0, 1), cache[:, :, i, 1].flatten(0, 1)) for i in range(cache.shape[2])]
        decoder, place = self.head.decoder, tokens.new_full((1,), cache.shape[5])
        if isinstance(self.head, RegionCaptionHead):
            images = [((a, b), (c, d)) for a, b, c, d in zip(*(memory[i::4] for i in range(4)), strict=True)]
            logits, seen = decoder.step(tokens.flatten(), place, images, past)
        else:
            pairs = list(zip(memory[1::2], memory[2::2], strict=True))
            logits, seen = decoder.step(tokens.flatten(), place, pairs, memory[0], past)
        new = torch.stack([torch.stack(pair, 1) for pair in seen], 1)
        return logits.log_softmax(-1).unflatten(0, tokens.shape), new.unflatten(0, tokens.shape)


class AttentionToPicture(nn.Module):
    """Attention that keeps the keys as (B, heads, D / heads, N), as the product with the queries wants them.

    The fused attention that PyTorch exports would turn and scale all keys of the picture for every word.

    Args:
        attention: What it stands for.
    """

    def __init__(self, attention: MultiHeadAttention) -> None:
        super().__init__()
        self.attention = attention

    def project(self, keys: Tensor, values: Tensor) -> KeyValue:
        """Keys, and values (B, heads, N, D / heads), of a memory of N places, both (B, N, D)."""
        key, value = self.attention.project(keys, values)
        return key.transpose(2, 3), value

    def forward(self, queries: Tensor, key_value: KeyValue, *, mask: Tensor | None = None) -> Tensor:
        """Attend (B, T, D); ``mask`` (B, 1, 1, N) float is added: 0, or -inf where nobody may look."""
        scores = _scaled_query(self.attention, queries) @ key_value[0]
        weights = (scores if mask is None else scores + mask).softmax(-1)
        return self.attention.out_proj((weights @ key_value[1]).transpose(1, 2).flatten(2))


class AttentionToWords(nn.Module):
    """Attention of one word a row to those before it, written as sums.

    There are few words, so that costs nothing; and OpenVINO 2026.4 gets the products wrong when there are 16.

    Args:
        attention: What it stands for.
    """

    def __init__(self, attention: MultiHeadAttention) -> None:
        super().__init__()
        self.attention = attention

    def project(self, keys: Tensor, values: Tensor) -> KeyValue:
        """Keys and values (R, heads, T, D / heads) of T words."""
        return self.attention.project(keys, values)

    def forward(
        self, queries: Tensor, key_value: KeyValue, mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Attend (R, 1, D). Words come one by one and without padding, which needs neither mask nor causality."""
        scores = (_scaled_query(self.attention, queries) * key_value[0]).sum(-1, keepdim=True)
        seen = (scores.softmax(2) * key_value[1]).sum(2)
        return self.attention.out_proj(seen.flatten(1)[:, None])


def _scaled_query(attention: MultiHeadAttention, queries: Tensor) -> Tensor:
    query = attention.q_proj(queries).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
    return query * query.shape[-1] ** -0.5


def memory_names(head: Any) -> list[str]:
    """Names of what a caption head keeps of the picture."""
    return [f'memory_{i}' for i in range(len(memory_axes(head)))]


def memory_axes(head: Any) -> list[int]:
    """Axis of each part of the memory along which its places stand: a mask (B, 1, 1, N) where the head has one, then
    for each layer and memory keys (B, heads, D / heads, N) and values (B, heads, N, D / heads).
    """
    layers = len(head.decoder.layers)
    return [3, 2] * 2 * layers if isinstance(head, RegionCaptionHead) else [3] + [3, 2] * layers


def _prepare_attention(head: Any) -> None:
    for layer in head.decoder.layers:
        if isinstance(head, RegionCaptionHead):
            layer.self_attn.attention = AttentionToWords(layer.self_attn.attention)
            for part in (layer.grid_attn, layer.region_attn):
                part.attention = AttentionToPicture(part.attention)
        else:
            layer.self_attn = AttentionToWords(layer.self_attn)
            layer.cross_attn = AttentionToPicture(layer.cross_attn)


def _memory(head: Any, feats: Sequence[Tensor], region: Tensor | None, shared: Mapping[str, Tensor]) -> list[Tensor]:
    """What a caption head keeps of the picture, in the order of :func:`memory_names`."""
    if isinstance(head, RegionCaptionHead):
        memories = head.memory(feats, None, shared)
        return [part for layer in head.decoder.layers for pair in layer.project(memories) for part in pair]
    assert region is not None
    masks = [cell_mask(region, feat.shape[-2:], stride) for feat, stride in zip(feats, head.strides, strict=True)]
    memory = head.memory_of_cells(feats, masks)
    hidden = torch.zeros_like(memory.content[..., 0]).masked_fill(~memory.mask, float('-inf'))
    if head.encoder is not None:
        memory = head.encoder(memory)
    pairs = head.decoder.project_memory(memory)
    return [hidden[:, None, None], *(part for pair in pairs for part in pair)]
