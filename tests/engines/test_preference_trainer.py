import copy
import math

import pytest
import torch
from ignite.engine import Events
from torch.distributions import Bernoulli, kl_divergence
from torch.nn import functional as F

from bundle import keys as K
from bundle.engines import PreferenceTrainer
from bundle.handlers import PreferenceStatistics
from bundle.losses import PreferenceLoss
from bundle.networks import PromptableSegmenter
from tests.engines.steps import BATCH, HEIGHT, WIDTH, losses, prompted, trainable, unchanged, weights
from tests.networks.tiny import tiny_segmenter

LOSS_WEIGHTS = {"preference": 1.0, "none": 0.0, "nll": 0.3, "anchor": 0.5, "det": 10.0}
REGIONS = 4  # as many as rows by 4


def judged_batch(judged: bool = True) -> dict[str, torch.Tensor]:
    """Three candidates and a copy of the chosen candidate; they agree on the last four columns."""
    g = torch.Generator().manual_seed(3)
    candidates = (torch.rand(BATCH, 3, HEIGHT, WIDTH, generator=g) > 0.5).float()
    candidates[..., -4:] = 1
    regions = (torch.arange(HEIGHT)[:, None] // 4).expand(HEIGHT, WIDTH).repeat(BATCH, 1, 1)
    return {
        K.IMAGE: prompted(torch.randn(BATCH, 1, HEIGHT, WIDTH, generator=g)),
        K.CANDIDATES: torch.cat((candidates, candidates[:, 1:2]), dim=1),
        K.REGIONS: regions,
        K.CHOSEN: torch.full((BATCH, REGIONS), 1 if judged else -1),
    }


def trainer(policy: PromptableSegmenter, reference: PromptableSegmenter | None = None, **changes) -> PreferenceTrainer:
    torch.manual_seed(0)
    settings = {
        "device": "cpu",
        "max_epochs": 1,
        "epoch_length": 1,
        "train_data_loader": [judged_batch()] * 20,
        "network": policy,
        "reference": reference or copy.deepcopy(policy),
        "optimizer": torch.optim.SGD(policy.parameters(), lr=0.1),
        "loss_function": PreferenceLoss(normalize="disagreement"),
        "loss_weights": LOSS_WEIGHTS,
    }
    return PreferenceTrainer(**{**settings, **changes})


def test_one_step_trains_all_but_the_contrastive_head() -> None:
    policy = tiny_segmenter(0)
    before = weights(policy)
    trainer(policy, tiny_segmenter(1)).run()
    idle = {name for name in trainable(policy) if "contrastive_head" in name}
    assert unchanged(before, policy) & trainable(policy) == idle


def test_reference_has_no_gradient_and_stays_what_it_was() -> None:
    policy, reference = tiny_segmenter(0), tiny_segmenter(1)
    before = weights(reference)
    engine = trainer(policy, reference.train(), epoch_length=3)
    engine.run()
    assert unchanged(before, reference) == set(before)
    assert all(p.grad is None and not p.requires_grad for p in reference.parameters())
    assert not reference.training and policy.training
    optimised = {id(p) for group in engine.optimizer.param_groups for p in group["params"]}
    assert optimised.isdisjoint(id(p) for p in reference.parameters())


def test_loss_is_the_weighted_sum_of_the_parts() -> None:
    engine = trainer(tiny_segmenter(0), tiny_segmenter(1))
    engine.run()
    named = losses(engine)
    assert set(named) == {"loss", *(f"loss_{part}" for part in LOSS_WEIGHTS)}
    assert named.pop("loss_none") == 0 and min(named.values()) > 0
    named["loss_none"] = 0.0
    assert named["loss"] == pytest.approx(sum(w * named[f"loss_{part}"] for part, w in LOSS_WEIGHTS.items()), rel=1e-5)


def test_a_policy_that_is_its_reference_starts_at_the_log_of_the_number_of_distinct_candidates() -> None:
    engine = trainer(tiny_segmenter())
    engine.run()
    named = losses(engine)
    assert named["loss_preference"] == pytest.approx(math.log(3), abs=1e-6)
    assert (named["loss_anchor"], named["loss_det"]) == pytest.approx((0, 0), abs=1e-6)
    margins, pairs = engine.state.preference["rewards/margins"]
    assert (margins, pairs) == (pytest.approx(0, abs=1e-4), BATCH * REGIONS * 2)


def test_state_tells_how_the_policy_stands_to_the_judgements() -> None:
    engine = trainer(tiny_segmenter(0), tiny_segmenter(1))
    engine.run()
    found = engine.state.preference
    assert found["regions/judged"] == (BATCH * REGIONS, BATCH)
    assert found["kl"][0] > 0
    assert found["rewards/chosen"][0] - found["rewards/rejected"][0] == pytest.approx(
        found["rewards/margins"][0], rel=1e-3
    )
    assert 0 < found["rewards/accuracies"][0] < BATCH * REGIONS * 2


def test_both_see_the_same_clicks() -> None:
    engine = trainer(tiny_segmenter(0), tiny_segmenter(1))
    images, points = [], []
    for network in (engine.network, engine.reference):
        network.image_encoder.register_forward_pre_hook(lambda _, inputs: images.append(inputs[0]))
        network.prompt_encoder.register_forward_pre_hook(lambda _, inputs: points.append(inputs))
    batch = judged_batch()
    engine.network.train()
    engine.compute_losses(batch)
    assert torch.equal(*images) and torch.equal(images[0], batch[K.IMAGE][:, :1])
    (coords, labels), _, (same_coords, same_labels), _ = points  # each network's prompts, then its probes
    assert torch.equal(coords, same_coords) and torch.equal(labels, same_labels)
    assert (labels >= 0).sum() < batch[K.IMAGE][:, 1:].sum()


def test_following_the_judgements_raises_the_margins() -> None:
    policy = tiny_segmenter()
    engine = trainer(
        policy,
        epoch_length=5,
        max_epochs=3,
        optimizer=torch.optim.Adam(policy.parameters(), lr=1e-3),
        train_handlers=[PreferenceStatistics()],
    )
    margins = []
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: margins.append(engine.state.metrics["rewards/margins"]))
    engine.run()
    assert 0 < margins[0] < margins[1] < margins[2]
    assert engine.state.metrics["rewards/accuracies"] > 0.5


def test_what_nobody_judged_changes_nothing_through_what_judgements_say() -> None:
    policy = tiny_segmenter(0)
    before = weights(policy)
    of_judgements = {"preference": 1.0, "nll": 1.0}
    batches = [judged_batch(judged=False)]
    engine = trainer(policy, tiny_segmenter(1), loss_weights=of_judgements, train_data_loader=batches)
    engine.run()
    assert losses(engine)["loss_preference"] == losses(engine)["loss_nll"] == 0
    assert unchanged(before, policy) == set(before)


def test_none_of_these_makes_all_candidates_less_likely() -> None:
    policy = tiny_segmenter(0)
    batch = judged_batch()
    batch[K.CHOSEN][:] = K.NONE
    engine = trainer(
        policy,
        train_data_loader=[batch],
        epoch_length=10,
        loss_weights={"none": 1.0},
        optimizer=torch.optim.Adam(policy.parameters(), lr=1e-3),
    )
    found = []
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: found.append(losses(engine)["loss_none"]))
    engine.run()
    assert found[0] == pytest.approx(math.log(2), abs=1e-6)
    assert found[-1] < found[0]
    assert engine.state.preference["regions/judged"][0] == 0


def test_anchor_is_the_divergence_where_no_judgement_speaks() -> None:
    engine = trainer(tiny_segmenter(0), tiny_segmenter(1))
    batch = judged_batch()
    batch[K.IMAGE][:, 1:] = 0
    batch[K.CHOSEN][:, 1:] = -1
    policy, reference = engine.network(batch[K.IMAGE]), engine.reference(batch[K.IMAGE])
    parts = engine.compute_losses(batch)
    agreed = batch[K.CANDIDATES].amax(dim=1) == batch[K.CANDIDATES].amin(dim=1)
    assert agreed[..., -4:].all() and not agreed[:, :4].all()
    others = agreed | (batch[K.REGIONS] > 0)
    p, q = (Bernoulli(logits=x[:, 0][others]) for x in (reference, policy))
    torch.testing.assert_close(parts["anchor"], kl_divergence(p, q).mean(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(parts["det"], (policy[:, 1] - reference[:, 1]).square().mean())


def test_chosen_are_made_likely_where_their_region_is_disputed() -> None:
    engine = trainer(tiny_segmenter(0), tiny_segmenter(1))
    batch = judged_batch()
    batch[K.IMAGE][:, 1:] = 0
    batch[K.CHOSEN][:, 1:] = -1
    parts = engine.compute_losses(batch)
    choice, logits = batch[K.CANDIDATES][:, 1], engine.network(batch[K.IMAGE])[:, 0]
    disputed = batch[K.CANDIDATES].amax(dim=1) != batch[K.CANDIDATES].amin(dim=1)
    disputed[:, 4:] = False
    expected = F.binary_cross_entropy_with_logits(logits[disputed], choice[disputed])
    torch.testing.assert_close(parts["nll"], expected)
