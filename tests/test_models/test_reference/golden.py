"""Figures of the reference's networks that are committed: what shared/parity checks, for those who do not have it.

Values come from a recipe (``networks.fill``), so a few numbers tell whether a network still computes what it did when
it equalled the reference. After a change that is meant, with shared/parity at hand and its tests passing::

    python -m tests.test_models.test_reference.golden
"""

import json
from pathlib import Path

import numpy as np
import torch

from mmyolor_mtl.models.text.generation import generate

from .networks import build, fill, group_norms, images, sample

FILE = Path(__file__).with_name('golden.json')
NAMES = ('yolov7-af-pan', 'gelan-c-pan', 'gyolo')
SEED, SIZE = 7, (64, 96)
CAPTION = [2, 17, 256, 4711, 9, 3]


def labels() -> list:
    """Two pictures with three objects, round masks, a striped semantic map."""
    targets = torch.tensor(
        [[0, 1, 0.4, 0.5, 0.5, 0.6], [0, 7, 0.7, 0.4, 0.3, 0.5], [1, 79, 0.5, 0.5, 0.8, 0.9]], dtype=torch.float32
    )
    height, width = (side // 4 for side in SIZE)
    y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing='ij')
    cx, cy, w, h = (targets[:, i, None, None] for i in (2, 3, 4, 5))
    masks = (((x - cx) / w) ** 2 + ((y - cy) / h) ** 2 <= 0.25).to(torch.uint8)
    multi_hot = np.zeros((173, height, width), dtype=np.uint8)
    for row in range(height):
        multi_hot[11 * row % 173, row] = 1
    multi_hot[:, :, :3] = 0  # without a label
    multi_hot[42, 4:8] = 1  # with two
    return [sample(targets[targets[:, 0] == i], masks[targets[:, 0] == i], multi_hot, SIZE) for i in range(2)]


def figures(tensor: torch.Tensor) -> list[float]:
    """Mean, standard deviation, largest magnitude and five values along a tensor."""
    flat = tensor.detach().double().flatten()
    places = torch.linspace(0, len(flat) - 1, 5).long()
    return [float(v) for v in (flat.mean(), flat.std(), flat.abs().max(), *flat[places])]


def compute(name: str) -> dict:
    """Outputs, losses and gradient norms of one network, and what gyolo writes."""
    model = build(name)
    fill(model, SEED)
    pictures, samples, shared = images(SEED, *SIZE), labels(), {}
    with torch.no_grad():
        outputs = model(pictures, mode='tensor')
    found: dict = dict(outputs={key: figures(value) for key, value in outputs.items()})
    feats = model.extract_feat(pictures)
    if model.auxiliary is not None:
        shared['auxiliary'] = model.auxiliary(pictures, feats['backbone'])
    losses: dict[str, torch.Tensor] = {}
    for head in model.vision_heads.values():
        losses.update(head.loss(feats['neck'], samples, shared))
    if 'cap' in model.heads:
        head, context = model.heads['cap'], {}
        for made in samples:
            made.set_field(torch.tensor(CAPTION), 'gt_caption_ids')
        for other in model.vision_heads.values():
            context.update(other.context(feats['neck']))
        losses.update(head.loss(feats['neck'], samples, context))
        with torch.no_grad():
            memory = head.memory(feats['neck'], shared=outputs)
            start = torch.full((2,), 2)
            beams = generate(head.decoder.start(memory), start, eos_id=3, pad_id=0, beam_size=5, max_length=8)
        found['beams'] = dict(tokens=beams.tokens[:, 0].tolist(), scores=beams.scores[:, 0].tolist())
    sum(losses.values()).backward()
    found['losses'] = {key: float(value.detach()) for key, value in losses.items()}
    found['gradients'] = group_norms(model)
    found['positives'] = shared['assignment'].foreground.nonzero().tolist()
    return found


if __name__ == '__main__':
    content = {name: compute(name) for name in NAMES}
    FILE.write_text(json.dumps(content, indent=1) + '\n')
