"""Where the parameters of a network lie in the reference's checkpoints (REFERENCE_SPEC 1.2-1.4 and 7.2).

The reference numbers the layers of a network; a layer's number is the first part of its keys. Everything else is a
renaming of modules: below a convolution, a norm or a linear layer the keys are the same. The one tensor of another
shape, the bins of a side, is left to ``convert``.

A function yields pairs ``(our prefix, its prefix)``; paths are relative, the caller puts the rest before them.
"""

from collections.abc import Iterator
from typing import Any

from torch import nn

from ..backbones import ELANBackbone, GELANBackbone
from ..heads import RegionCaptionHead
from ..heads.branches import DetectionBranches, MaskBranches, PredictionBranch, SemanticBranches
from ..layers.elan import ELANBlock
from ..layers.gelan import ADown, RepNCSPELAN4
from ..necks import ELANPAFPN, GELANPAFPN

Pairs = Iterator[tuple[str, str]]


def below(ours: str, theirs: str, pairs: Pairs) -> Pairs:
    """Put both paths before the pairs."""
    for mine, reference in pairs:
        yield f'{ours}.{mine}', f'{theirs}.{reference}'


def reference_prefixes(model: nn.Module) -> dict[str, str]:
    """Prefixes of all modules with parameters of a network, ours to the reference's (``model.{layer}...``).

    Args:
        model: A ``YOLORMTL`` with one of the trunks that the reference has.

    Raises:
        ValueError: The network has a part that the reference does not have; the message names it.
    """
    pairs: dict[str, str] = {}
    if isinstance(model.backbone, ELANBackbone) and isinstance(model.neck, ELANPAFPN):
        pairs.update(below('backbone', 'model', _elan_backbone(model.backbone)))
        pairs.update(below('neck', 'model', _elan_neck(model.neck)))
        head = 105
    elif isinstance(model.backbone, GELANBackbone) and isinstance(model.neck, GELANPAFPN):
        first = 0 if model.neck.attention is None else 1
        pairs.update(below('backbone', 'model', _gelan_backbone(model.backbone, first)))
        pairs.update(below('neck', 'model', _gelan_neck(model.neck, first + 9)))
        head = 22 if model.neck.attention is None else 55
    else:
        raise ValueError(
            f'the reference has no network of {type(model.backbone).__name__} and {type(model.neck).__name__}'
        )
    if model.auxiliary is not None:
        pairs.update(below('auxiliary', 'model', _auxiliary_branch(model.auxiliary)))
    for task, task_head in model.heads.items():
        if task == 'cap':
            if head != 55:
                raise ValueError('the reference has a caption head in gyolo alone: convert with a config without one')
            pairs.update(below('heads.cap', 'model.56', _caption(task_head)))
        else:
            pairs.update(below(f'heads.{task}', 'model', _vision_head(task, task_head, head)))
    return pairs


def _elan_block(block: ELANBlock, name: str, layer: int) -> Pairs:
    """Two 1x1 convolutions, the chain, a concatenation without a key, the last 1x1."""
    yield f'{name}.shortcut', f'{layer}'
    yield f'{name}.entry', f'{layer + 1}'
    layer += 2
    for g, group in enumerate(block.chain):
        for c in range(len(group)):
            yield f'{name}.chain.{g}.{c}', f'{layer}'
            layer += 1
    yield f'{name}.fuse', f'{layer + 1}'


def _elan_length(block: ELANBlock) -> int:
    return 4 + sum(len(group) for group in block.chain)


def _conv_down(name: str, layer: int) -> Pairs:
    """Pool, its 1x1, the other 1x1, the strided 3x3, a concatenation."""
    yield f'{name}.pool_conv', f'{layer + 1}'
    yield f'{name}.reduce', f'{layer + 2}'
    yield f'{name}.down', f'{layer + 3}'


def _elan_backbone(backbone: ELANBackbone) -> Pairs:
    for i in range(3):
        yield f'stem.{i}', f'{i}'
    yield 'stage1.0', '3'
    layer = 4
    for index in range(1, 5):
        block = getattr(backbone, f'stage{index}')[1]
        if index > 1:
            yield from _conv_down(f'stage{index}.0', layer)
            layer += 5
        yield from _elan_block(block, f'stage{index}.1', layer)
        layer += _elan_length(block)


def _elan_neck(neck: ELANPAFPN) -> Pairs:
    spp = ('pre.0', 'shortcut', 'pre.1', 'pre.2', 'post.0', 'post.1', 'fuse')
    yield from ((f'spp.{name}', f'51.cv{i}') for i, name in enumerate(spp, start=1))
    yield 'reduce5', '52'
    yield 'lateral4', '54'
    yield from _elan_block(neck.top_down4, 'top_down4', 56)
    yield 'reduce4', '64'
    yield 'lateral3', '66'
    yield from _elan_block(neck.top_down3, 'top_down3', 68)
    yield from _conv_down('down3', 76)
    yield from _elan_block(neck.bottom_up4, 'bottom_up4', 81)
    yield from _conv_down('down4', 89)
    yield from _elan_block(neck.bottom_up5, 'bottom_up5', 94)
    yield from ((f'out_convs.{i}', f'{102 + i}') for i in range(3))


def _rep_elan(block: RepNCSPELAN4) -> Pairs:
    yield 'split', 'cv1'
    for s, (csp, _) in enumerate(block.stages):
        ours, theirs = f'stages.{s}', f'cv{s + 2}'
        yield f'{ours}.1', f'{theirs}.1'
        for name, key in (('entry', 'cv1'), ('shortcut', 'cv2'), ('fuse', 'cv3')):
            yield f'{ours}.0.{name}', f'{theirs}.0.{key}'
        for b in range(len(csp.blocks)):
            yield f'{ours}.0.blocks.{b}.rep.conv3', f'{theirs}.0.m.{b}.cv1.conv1'
            yield f'{ours}.0.blocks.{b}.rep.conv1', f'{theirs}.0.m.{b}.cv1.conv2'
            yield f'{ours}.0.blocks.{b}.conv', f'{theirs}.0.m.{b}.cv2'
    yield 'fuse', 'cv4'
    if block.isolated is not None:
        yield 'isolated', 'cvcap'


def _adown() -> Pairs:
    yield 'down', 'cv1'
    yield 'pool_conv', 'cv2'


def _gelan_backbone(backbone: GELANBackbone, first: int) -> Pairs:
    yield 'stem', f'{first}'
    for index in range(1, 5):
        down, block = getattr(backbone, f'stage{index}')
        layer = first + 2 * index - 1
        if isinstance(down, ADown):
            yield from below(f'stage{index}.0', f'{layer}', _adown())
        else:
            yield f'stage{index}.0', f'{layer}'
        yield from below(f'stage{index}.1', f'{layer + 1}', _rep_elan(block))


def _gelan_neck(neck: GELANPAFPN, layer: int) -> Pairs:
    yield 'spp.entry', f'{layer}.cv1'
    yield 'spp.fuse', f'{layer}.cv5'
    if neck.attention is not None:
        layer += 1
        yield from below('attention', f'{layer}', _psa())
    yield from below('top_down4', f'{layer + 3}', _rep_elan(neck.top_down4))
    yield from below('top_down3', f'{layer + 6}', _rep_elan(neck.top_down3))
    yield from below('down3', f'{layer + 7}', _adown())
    yield from below('bottom_up4', f'{layer + 9}', _rep_elan(neck.bottom_up4))
    yield from below('down4', f'{layer + 10}', _adown())
    yield from below('bottom_up5', f'{layer + 12}', _rep_elan(neck.bottom_up5))


def _psa() -> Pairs:
    yield 'split', 'cv1'
    yield 'fuse', 'cv2'
    yield 'attention.qkv', 'attn.qkv'
    yield 'attention.proj', 'attn.proj'
    yield 'attention.position', 'attn.pe'
    yield 'ffn.0', 'ffn.0'
    yield 'ffn.1', 'ffn.1'


def _auxiliary_branch(branch: Any) -> Pairs:
    yield from ((f'routes.{i}.conv', f'{24 + i}.conv') for i in range(3))
    yield 'stem.0', '27'
    yield 'stem.1', '28'
    yield from below('stem.2', '29', _rep_elan(branch.stem[2]))
    for i, (down, block) in enumerate(((30, 32), (33, 35), (36, 38))):
        yield from below(f'downs.{i}', f'{down}', _adown())
        yield from below(f'blocks.{i}', f'{block}', _rep_elan(branch.blocks[i]))


def _high_resolution_branch(branch: Any, layer: int) -> Pairs:
    yield from below('branch.block', f'{layer}', _rep_elan(branch.block))
    yield 'branch.depthwise', f'{layer + 2}'
    yield 'branch.pointwise', f'{layer + 3}'


# Number behind cv (box, classes) and behind dfl of a set of branches; the networks with one set use the first.
DETECTION_KEYS = dict(main=(2, 3, ''), auxiliary=(2, 3, ''), one_to_one=(6, 7, '3'))
DUAL_DETECTION_KEYS = {**DETECTION_KEYS, 'main': (4, 5, '2')}
# First layer of the stride-4 branches of GYOLO.
SEMANTIC_LAYERS = dict(auxiliary=39, main=43)
PROTOTYPE_LAYERS = dict(auxiliary=47, main=51)


def _vision_head(task: str, head: Any, layer: int) -> Pairs:
    dual = layer == 55
    for name in ('main', 'auxiliary', 'one_to_one'):
        branches = getattr(head, name, None)
        if branches is None:
            continue
        if task == 'det':
            box, cls, dfl = (DUAL_DETECTION_KEYS if dual else DETECTION_KEYS)[name]
            pairs: Pairs = ((ours, f'{layer}.{theirs}') for ours, theirs in _detection(branches, box, cls, dfl))
        else:
            pairs = (_mask if task == 'ins' else _semantic)(branches, name, layer, dual)
        for ours, theirs in pairs:
            yield f'{name}.{ours}', theirs


def _prediction_branches(branches: nn.ModuleList, ours: str, key: int) -> Pairs:
    """Convolutions by number; implicit knowledge stands beside them in the reference (``ia``, ``im``)."""
    for level, branch in enumerate(branches):
        yield from _prediction_branch(branch, f'{ours}.{level}', key, level)


def _prediction_branch(branch: PredictionBranch, ours: str, key: int, level: int) -> Pairs:
    implicit = hasattr(branch[0], 'implicit')
    last = len(branch) - 1
    for index in range(len(branch)):
        if implicit and index in (0, last):
            yield f'{ours}.{index}', f'{"im" if index else "ia"}{key}.{level}'
        else:
            yield f'{ours}.{index}', f'cv{key}.{level}.{index - implicit}'


def _detection(branches: DetectionBranches, box: int, cls: int, dfl: str) -> Pairs:
    yield from _prediction_branches(branches.box_branches, 'box_branches', box)
    yield from _prediction_branches(branches.cls_branches, 'cls_branches', cls)
    yield 'projection', f'dfl{dfl}'


def _mask(branches: MaskBranches, name: str, layer: int, dual: bool) -> Pairs:
    key = {'auxiliary': 8, 'main': 9}[name] if dual else 4
    for ours, theirs in _prediction_branches(branches.coef_branches, 'coef_branches', key):
        yield ours, f'{layer}.{theirs}'
    if branches.branch is None:
        yield from ((f'proto.{i}', f'{layer}.proto.cv{n}') for n, i in enumerate((0, 2, 3), start=1))
    else:
        yield from _high_resolution_branch(branches.branch, PROTOTYPE_LAYERS[name])
        yield 'proto', f'{layer}.proto{"2" if name == "main" else ""}'


def _semantic(branches: SemanticBranches, name: str, layer: int, dual: bool) -> Pairs:
    if branches.branch is not None:
        yield from _high_resolution_branch(branches.branch, SEMANTIC_LAYERS[name])
        yield 'classifier', f'{layer}.uconv{"2" if name == "main" else ""}'
        return
    if len(branches.branches) > 1:
        raise ValueError('the reference has no semantic head on several levels: convert with num_levels=1')
    yield 'branches.0', f'{layer}.uconv.cv1'
    yield 'classifier', f'{layer}.uconv.cv2'


def _attention(ours: str, theirs: str) -> Pairs:
    for name, key in (('q_proj', 'fc_q'), ('k_proj', 'fc_k'), ('v_proj', 'fc_v'), ('out_proj', 'fc_o')):
        yield f'{ours}.attention.{name}', f'{theirs}.attention.{key}'
    yield f'{ours}.norm', f'{theirs}.layer_norm'


def _feedforward(ours: str, theirs: str) -> Pairs:
    yield from ((f'{ours}.{name}', f'{theirs}.{name}') for name in ('fc1', 'fc2'))
    yield f'{ours}.norm', f'{theirs}.layer_norm'


def _caption(head: Any) -> Pairs:
    if not isinstance(head, RegionCaptionHead):
        raise ValueError(f'the reference has no {type(head).__name__}: its caption head is RegionCaptionHead')
    for ours, theirs in (('grid_projection', 'cv4'), ('semantic_projection', 'cv5')):
        yield from ((f'{ours}.{i}', f'{theirs}.{i}') for i in range(2))
    for level in range(len(head.region_projections)):
        yield from ((f'region_projections.{level}.{i}', f'cv3.{level}.{i}') for i in range(2))
    grid, text = 'grit_transformer.grid_net', 'grit_transformer.cap_generator'
    yield 'encoder.fc', f'{grid}.fc'
    yield 'encoder.norm', f'{grid}.layer_norm'
    for i in range(len(head.encoder.attentions)):
        yield from _attention(f'encoder.attentions.{i}', f'{grid}.layers.{i}.mhatt')
        yield from _feedforward(f'encoder.ffns.{i}', f'{grid}.layers.{i}.pwff')
    yield 'decoder.word', f'{text}.word_emb'
    yield 'decoder.position', f'{text}.pos_emb'
    yield 'decoder.output', f'{text}.fc'
    for i in range(len(head.decoder.layers)):
        ours, theirs = f'decoder.layers.{i}', f'{text}.layers.{i}'
        for name, key in (('self_attn', 'self_att'), ('grid_attn', 'vis_att1'), ('region_attn', 'vis_att2')):
            yield from _attention(f'{ours}.{name}', f'{theirs}.{key}')
        yield from _feedforward(f'{ours}.ffn', f'{theirs}.pwff')
        yield f'{ours}.gate', f'{theirs}.fc_alpha1'
        yield f'{ours}.unused_gate', f'{theirs}.fc_alpha2'
