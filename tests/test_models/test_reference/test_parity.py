"""What the released implementations compute, number by number (shared/parity, where it is there)."""

import pytest
import torch

from mmyolor_mtl.models.reference import from_reference, to_reference
from mmyolor_mtl.models.task_modules import distances_to_boxes
from mmyolor_mtl.models.text.generation import generate

from .networks import Parity, build, group_norms

# What was seen at most: 1.7e-7 of predictions, 2.7e-7 of log-probabilities, 4.5e-7 of losses, 9.4e-7 of gradients.
PREDICTIONS, LOSSES = 1e-4, 1e-3
ITEMS = ('bbox', 'mask', 'det_cls', 'dfl', 'sem_pixel', 'sem_dice')


def deviation(ours: torch.Tensor, reference: torch.Tensor) -> float:
    """Largest difference as a share of the largest magnitude."""
    return float((ours.detach() - reference).abs().max() / reference.abs().max())


def predictions(model, images) -> tuple[torch.Tensor, dict]:
    """(B, 4 + classes + prototypes, N) as the reference lays them out, and the raw outputs."""
    head = model.heads['det']
    with torch.no_grad():
        outputs = model(images, mode='tensor')
        points, stride = head.anchors(model.extract_feat(images)['neck'])
    distances = head.inference_branches.projection(outputs['box_dists']) * stride
    x1y1, x2y2 = distances_to_boxes(points, distances).split(2, dim=-1)
    parts = [(x1y1 + x2y2) / 2, x2y2 - x1y1, outputs['cls_logits'].sigmoid(), outputs['mask_coefs']]
    return torch.cat(parts, dim=2).transpose(1, 2), outputs


@pytest.fixture(scope='module', autouse=True)
def two_threads():
    """As the fixtures were made: another order of summation moves these networks' outputs by up to 1e-4."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module', params=['yolov7-af-pan', 'gelan-c-pan', 'gyolo'])
def pair(request, shared_dir):
    """A fixture and our network with its weights."""
    fixture = Parity(request.param)
    model = build(request.param)
    model.load_state_dict(from_reference(fixture.state(), model))
    return fixture, model


def test_every_key_has_its_place(pair):
    fixture, model = pair
    ours = {key: list(value.shape) for key, value in to_reference(model).items()}
    assert ours == fixture.meta['shapes']


def test_outputs(pair):
    fixture, model = pair
    boxes, outputs = predictions(model, fixture.images())
    assert deviation(boxes, fixture.tensor('eval/predictions')) < PREDICTIONS
    assert deviation(outputs['mask_protos'][:, :, ::2, ::2], fixture.tensor('eval/prototypes_every2')) < PREDICTIONS
    assert deviation(outputs['sem_logits'][:, :, ::2, ::2], fixture.tensor('eval/semantic_logits_every2')) < PREDICTIONS


def test_losses_and_gradients_of_vision(pair):
    fixture, model = pair
    model.zero_grad()
    images, samples, shared = fixture.images(), fixture.samples(), {}
    feats = model.extract_feat(images)
    if model.auxiliary is not None:
        shared['auxiliary'] = model.auxiliary(images, feats['backbone'])
    losses = {}
    for head in model.vision_heads.values():
        losses.update(head.loss(feats['neck'], samples, shared))
    items = [float(sum(value.detach() for name, value in losses.items() if item in name)) for item in ITEMS]
    assert items == pytest.approx(fixture.meta['loss']['vision_items'], rel=LOSSES)
    total = 2 * sum(losses.values())
    assert float(total.detach()) == pytest.approx(fixture.meta['loss']['vision_total'][0], rel=LOSSES)
    if 'loss/foreground' in fixture.arrays.files:
        foreground = fixture.tensor('loss/foreground').bool()
        assert torch.equal(shared['assignment'].foreground, foreground)
        assigned = fixture.tensor('loss/assigned_gt').long()
        assert torch.equal(shared['assignment'].gt_index[foreground], assigned[foreground])
    total.backward()
    assert group_norms(model) == pytest.approx(fixture.meta['grad_norm']['vision_grad_norm'], rel=LOSSES)


class TestCaptionsOfGyolo:
    """Teacher forcing, beam search, loss and its way into the trunk."""

    @pytest.fixture(scope='class')
    def gyolo(self, shared_dir):
        fixture, model = Parity('gyolo'), build('gyolo')
        model.load_state_dict(from_reference(fixture.state(), model))
        return fixture, model

    @pytest.fixture(scope='class')
    def memory(self, gyolo):
        fixture, model = gyolo
        images = fixture.images()
        with torch.no_grad():
            return model.heads['cap'].memory(model.extract_feat(images)['neck'], shared=model(images, mode='tensor'))

    def test_log_probabilities(self, gyolo, memory):
        fixture, model = gyolo
        ids = fixture.tensor('eval/caption_input_ids').long()
        log_probs = model.heads['cap'].decoder(ids, memory).log_softmax(-1)
        assert deviation(log_probs[..., ::7], fixture.tensor('eval/caption_log_probs_every7')) < PREDICTIONS

    def test_beams(self, gyolo, memory):
        fixture, model = gyolo
        decoding = model.heads['cap'].decoder.start(memory)
        start = torch.full((2,), 2)
        found = generate(decoding, start, eos_id=3, pad_id=0, beam_size=5, max_length=20)
        length = found.tokens.shape[-1]
        tokens, log_probs = fixture.tensor('eval/beam5_tokens').long(), fixture.tensor('eval/beam5_log_probs')
        assert torch.equal(found.tokens, tokens[..., :length]) and not tokens[..., length:].any()
        assert deviation(found.log_probs, log_probs[..., :length]) < PREDICTIONS
        assert torch.equal(found.tokens[:, 0], fixture.tensor('eval/beam_tokens').long()[:, :length])

    @pytest.mark.parametrize('whole_map', [False, True])
    def test_loss_and_gradients(self, gyolo, whole_map):
        """Whether the semantic cells are picked before their projection (evaluation) or after it (training)."""
        fixture, model = gyolo
        model.zero_grad()
        head, samples = model.heads['cap'], fixture.samples()
        for sample, ids in zip(samples, fixture.tensor('eval/caption_input_ids').long(), strict=True):
            sample.set_field(ids, 'gt_caption_ids')
        feats, shared = model.extract_feat(fixture.images())['neck'], {}
        for other in model.vision_heads.values():
            shared.update(other.context(feats))
        head.training = whole_map  # the flag of the head alone: dropout and norms stay as the fixture has them
        loss = head.loss(feats, samples, shared)['loss_cap_ce']
        head.training = False
        assert float(loss.detach()) == pytest.approx(fixture.meta['loss']['caption_items'][0], rel=LOSSES)
        (2 * loss).backward()
        assert group_norms(model) == pytest.approx(fixture.meta['grad_norm']['caption_grad_norm'], rel=LOSSES)
