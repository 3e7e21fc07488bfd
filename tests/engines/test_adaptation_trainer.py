import copy

import pytest
import torch

from bundle import keys as K
from bundle.engines import AdaptationTrainer
from bundle.engines.adaptation_trainer import contrast_key_points, sample_positions
from bundle.handlers import MeanTeacher
from bundle.losses import MultitaskLoss, PromptContrastiveLoss
from bundle.networks import PromptableSegmenter
from bundle.self_training import ExemplarBank, PseudoLabeler, PseudoLabels, RandMix
from bundle.self_training.pseudo_labels import rank_clicks
from tests.engines.steps import BATCH, HEIGHT, WIDTH, losses, prompted, source_batch, trainable, unchanged, weights
from tests.networks.tiny import tiny_segmenter

LOSS_WEIGHTS = {"source_seg": 1.0, "source_det": 10.0, "seg": 0.5, "det": 5.0, "pcl": 0.1}


def target_batch() -> dict[str, torch.Tensor]:
    """No entry is a label."""
    g = torch.Generator().manual_seed(5)
    weak, noise = torch.randn(2, BATCH, 1, HEIGHT, WIDTH, generator=g)
    return {
        K.IMAGE: prompted(weak),
        K.STRONG: weak + 0.3 * noise,
        K.COMPLETE: torch.zeros(BATCH, dtype=torch.bool),
        K.INDEX: torch.arange(BATCH),
    }


def trainer(student: PromptableSegmenter, teacher: PromptableSegmenter | None = None, **changes) -> AdaptationTrainer:
    torch.manual_seed(0)
    settings = {
        "device": "cpu",
        "max_epochs": 1,
        "epoch_length": 1,
        "train_data_loader": [{K.SOURCE: source_batch(), K.TARGET: target_batch()}] * 3,
        "network": student,
        "teacher": teacher or copy.deepcopy(student),
        "optimizer": torch.optim.SGD(student.parameters(), lr=1.0),
        "loss_function": MultitaskLoss(),
        "loss_weights": LOSS_WEIGHTS,
        "pseudo_labeler": PseudoLabeler(confidence=0.5, peak_radius=2, density_sigma=2.0),
        "exemplars": ExemplarBank(),
        "contrastive_loss": PromptContrastiveLoss(),
        "mix": RandMix(prob=0.5),
        "queries": 8,
        "negatives": 16,
    }
    return AdaptationTrainer(**{**settings, **changes})


def test_one_step_trains_every_parameter_of_the_student() -> None:
    student = tiny_segmenter()
    before = weights(student)
    engine = trainer(student)
    engine.run()
    pseudo = engine.state.pseudo_labels
    assert 0 < pseudo.mask.mean() < 1
    assert pseudo.weight.mean() > 0
    assert unchanged(before, student) & trainable(student) == set()


@pytest.mark.parametrize(
    ("part", "untouched"),
    [
        ("pcl", ["mask_head", "mask_bias", "detection_head", "upscale2"]),
        ("det", ["mask_head", "mask_bias", "contrastive_head"]),
        ("seg", ["detection_head", "contrastive_head"]),
    ],
)
def test_each_part_alone_trains_what_it_concerns(part, untouched) -> None:
    student = tiny_segmenter()
    before = weights(student)
    trainer(student, loss_weights={part: 1.0}).run()
    same = unchanged(before, student)
    assert not [name for name in same & trainable(student) if name.startswith("image_encoder")]
    expected = {n for n in before if any(f"mask_decoder.{u}." in n for u in untouched)}
    assert expected <= same


def test_teacher_gets_no_gradient_and_no_update() -> None:
    student, teacher = tiny_segmenter(0), tiny_segmenter(1)
    before = weights(teacher)
    engine = trainer(student, teacher.train(), epoch_length=3, max_grad_norm=1.0)
    engine.run()
    assert unchanged(before, teacher) == set(before)
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    assert not teacher.training
    optimised = {id(p) for group in engine.optimizer.param_groups for p in group["params"]}
    assert optimised.isdisjoint(id(p) for p in teacher.parameters())
    pseudo = engine.state.pseudo_labels
    assert not any(t.requires_grad for t in vars(pseudo).values())


def test_teacher_follows_the_student_through_its_handler_alone() -> None:
    student = tiny_segmenter(0)
    teacher, start = tiny_segmenter(1), weights(student)
    trainer(student, teacher, train_handlers=[MeanTeacher(teacher, student, alpha=0.99)]).run()
    for name, value in teacher.named_parameters():
        # After step 1 the decay is 1/2, and the teacher began as the student.
        torch.testing.assert_close(value, 0.5 * start[name] + 0.5 * dict(student.named_parameters())[name])


def test_loss_is_the_weighted_sum_of_the_parts() -> None:
    engine = trainer(tiny_segmenter())
    engine.run()
    named = losses(engine)
    assert set(named) == {"loss", *(f"loss_{part}" for part in LOSS_WEIGHTS)}
    assert min(named.values()) > 0
    assert named["loss"] == pytest.approx(sum(w * named[f"loss_{part}"] for part, w in LOSS_WEIGHTS.items()), rel=1e-5)


def test_state_tells_what_was_taught() -> None:
    engine = trainer(tiny_segmenter())
    engine.run()
    assert torch.equal(engine.state.given_clicks, target_batch()[K.IMAGE][:, 1:])
    assert all(getattr(engine.state.pseudo_labels, name).shape[0] == BATCH for name in ("mask", "clicks"))


def test_teacher_is_asked_without_prompts_then_with_the_points_it_found() -> None:
    teacher = tiny_segmenter(1)
    engine = trainer(tiny_segmenter(0), teacher)
    asked = []
    decode = teacher.decode

    def spy(embedding, fine, coords, labels):
        asked.append([(labels[0] == kind).sum().item() for kind in (1, 0)])
        out = decode(embedding, fine, coords, labels)
        out[:, 1] = 0
        out[:, 1, 2, 15] = 0.9  # a peak away from the clicks
        return out

    teacher.decode = spy
    batch = target_batch()
    pseudo = engine.teach(batch[K.IMAGE], batch[K.COMPLETE], batch[K.INDEX])
    assert asked == [[0, 0], [3, 1]]
    assert pseudo.clicks[0, 0].nonzero().tolist() == [[2, 15], [5, 8], [12, 20]]
    assert torch.equal(pseudo.clicks[:, 1], batch[K.IMAGE][:, 2])


def test_teacher_sees_the_weak_view_and_the_student_the_strong() -> None:
    batch = {K.SOURCE: source_batch(), K.TARGET: target_batch()}
    other = {K.SOURCE: source_batch(), K.TARGET: {**target_batch(), K.STRONG: -target_batch()[K.STRONG]}}
    engine = trainer(tiny_segmenter(), mix=RandMix(prob=0.0))
    parts, taught = [], []
    for b in (batch, other):
        torch.manual_seed(0)
        parts.append(engine.compute_losses(b))
        taught.append(engine.state.pseudo_labels)
    for name in ("mask", "density", "weight", "clicks"):
        assert torch.equal(getattr(taught[0], name), getattr(taught[1], name))
    assert parts[0]["source_seg"] == parts[1]["source_seg"]
    assert abs(parts[0]["seg"] - parts[1]["seg"]) > 1e-3


def test_strong_view_and_pseudo_labels_are_mixed_alike() -> None:
    engine = trainer(tiny_segmenter(), mix=RandMix(prob=1.0, class_prob=1.0))
    number = torch.arange(float(BATCH)).view(-1, 1, 1, 1).expand(BATCH, 1, HEIGHT, WIDTH)
    mask = torch.zeros_like(number)
    mask[:, :, 3:9, 5:14] = 1
    both = number.expand(-1, 2, -1, -1)
    pseudo = PseudoLabels(mask, number, number, both, both + 1, number)
    image, mixed = engine.mixed_view(number, pseudo)
    expected = torch.where(mask.roll(1, 0) > 0, number.roll(1, 0), number)
    for tensor in (image, mixed.density, mixed.weight, mixed.clicks[:, :1], mixed.clicks[:, 1:]):
        assert torch.equal(tensor, expected)
    assert torch.equal(mixed.ranks, mixed.clicks + 1)
    assert torch.equal(mixed.predicted, number)


def test_of_too_many_mixed_clicks_the_estimated_with_the_lowest_density_go() -> None:
    engine = trainer(tiny_segmenter(), mix=RandMix(prob=1.0, class_prob=1.0))
    engine.network.max_points = 3
    mask, density = torch.zeros(2, 2, 1, HEIGHT, WIDTH).unbind(1)
    clicks, given = torch.zeros(2, 2, 2, HEIGHT, WIDTH).unbind(1)
    mask[1, :, :, 12:] = 1  # the first image gets the right half of the second
    clicks[0, 0, 2, 2] = clicks[0, 0, 9, 3] = clicks[1, 0, 2, 15] = clicks[1, 0, 9, 20] = clicks[1, 1, 5, 18] = 1
    given[0, 0, 9, 3] = given[1, 1, 5, 18] = 1
    density[0, 0, 2, 2], density[1, 0, 2, 15], density[1, 0, 9, 20] = 0.6, 0.0, 0.9
    asked = spied(engine.network)
    _, mixed = engine.mixed_view(mask, PseudoLabels(mask, density, mask, clicks, rank_clicks(given, density), mask))
    assert set(mixed.clicks.unique().tolist()) == {0, 1}
    _, (_, positive, *_) = engine.student(mask, mixed)
    points = asked[0][1][0, :3]
    assert {tuple(p) for p in points.tolist()} == {(9.5, 3.5), (5.5, 18.5), (9.5, 20.5)}
    assert {tuple(p) for p in points[positive[0]].tolist()} == {(9.5, 3.5)}  # the given one


def test_key_of_the_contrast_is_made_of_given_points_where_there_are_any() -> None:
    coords = torch.tensor([[[2.5, 3.5], [4.5, 5.5], [6.5, 7.5], [0.5, 0.5]]]).repeat(2, 1, 1)
    labels = torch.tensor([[1, 1, 0, -1]]).repeat(2, 1)
    ranks = torch.zeros(2, 2, HEIGHT, WIDTH)
    ranks[:, 0, 2, 3], ranks[:, 0, 4, 5], ranks[:, 1, 6, 7] = 0.8, 0.9, 1.0
    ranks[0, 0, 4, 5] = 1.0  # given, in the first image alone
    chosen = contrast_key_points(coords, labels, ranks)
    assert chosen.tolist() == [[False, True, False, False], [True, True, False, False]]


def test_nothing_to_contrast_is_no_pcl() -> None:
    """A teacher that sees no foreground, and no clicks: the part is 0 and the step goes on."""
    student, batch = tiny_segmenter(), {K.SOURCE: source_batch(), K.TARGET: target_batch()}
    teacher = copy.deepcopy(student)
    with torch.no_grad():
        teacher.mask_decoder.mask_bias.bias.fill_(-100)
    batch[K.TARGET][K.IMAGE][:, 1:] = 0
    engine = trainer(student, teacher, train_data_loader=[batch])
    engine.run()
    assert engine.state.pseudo_labels.mask.sum() == 0
    named = losses(engine)
    assert named["loss_pcl"] == 0
    assert named["loss_seg"] > 0
    assert all(torch.isfinite(p).all() for p in student.parameters())


def test_probes_stand_at_points_in_foreground_and_in_background() -> None:
    engine = trainer(tiny_segmenter())
    mask = torch.zeros(1, 1, HEIGHT, WIDTH)
    mask[:, :, 3:9, 5:14] = 1
    weight = torch.ones_like(mask)
    weight[:, :, :, 10:] = 0  # what is not believed is neither
    clicks = prompted(mask)[:, 1:]
    asked = spied(engine.network)
    _, (_, positive, _, _, usable) = engine.student(
        mask, PseudoLabels(mask, mask, weight, clicks, torch.ones_like(clicks), mask)
    )
    (_, (probes,)) = asked[0]
    points, queries, negatives = probes.tensor_split((-engine.queries - engine.negatives, -engine.negatives))
    assert {tuple(p) for p in points[positive[0]].tolist()} == {(5.5, 8.5), (12.5, 20.5)}
    inside = mask * weight
    assert all(inside[0, 0, x, y] == 1 for x, y in queries.long())
    assert all(mask[0, 0, x, y] == 0 and weight[0, 0, x, y] == 1 for x, y in negatives.long())
    assert usable.tolist() == [True]


def test_student_is_prompted_with_none_to_all_of_the_points() -> None:
    engine = trainer(tiny_segmenter())
    mask = torch.zeros(1, 1, HEIGHT, WIDTH)
    clicks = prompted(mask)[:, 1:]
    pseudo = PseudoLabels(mask, mask, mask, clicks, torch.ones_like(clicks), mask)
    asked = spied(engine.network)
    for _ in range(40):
        engine.student(mask, pseudo)
    kinds = [tuple((labels == kind).sum().item() for kind in (1, 0)) for (labels,), _ in asked]
    assert {sum(k) for k in kinds} == {0, 1, 2, 3}
    assert max(kinds) == (2, 1)


def spied(student: PromptableSegmenter) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """A list that gets the point labels and the probes (B,...) of each call of a student's decoder."""
    asked: list[tuple[torch.Tensor, torch.Tensor]] = []
    decode = student.decode_with_probes

    def spy(embedding, fine, coords, labels, probes):
        asked.append((labels, probes))
        return decode(embedding, fine, coords, labels, probes)

    student.decode_with_probes = spy
    return asked


def test_positions_are_drawn_from_their_region() -> None:
    torch.manual_seed(0)
    region = torch.zeros(3, 1, 4, 9, dtype=torch.bool)
    region[0, 0, 3, 8] = True
    region[1, 0, 0, 2:5] = True
    positions = sample_positions(region, 200)
    assert positions.shape == (3, 200, 2)
    assert {tuple(p) for p in positions[0].tolist()} == {(3.5, 8.5)}
    assert {tuple(p) for p in positions[1].tolist()} == {(0.5, 2.5), (0.5, 3.5), (0.5, 4.5)}
    assert len({tuple(p) for p in positions[2].tolist()}) > 30  # nowhere to draw from: anywhere of 36
