import math

import pytest
import torch

from bundle.losses import PromptContrastiveLoss
from tests.networks.tiny import tiny_segmenter

YES = torch.tensor([True])


def vectors(*rows: tuple[float, ...]) -> torch.Tensor:
    """(1,n,D)"""
    return torch.tensor([rows], dtype=torch.float32)


def info_nce(to_key: float, *to_negatives: float) -> float:
    """The formula, for cosines, with temperature 1/2."""
    key = math.exp(2 * to_key)
    return -math.log(key / (key + sum(math.exp(2 * n) for n in to_negatives)))


def test_one_query_by_hand() -> None:
    # Key (1, 0), query (1, 0), negatives (0, 1) and (-1, 0), each at another length: cosines 1, 0, -1.
    loss = PromptContrastiveLoss(temperature=0.5)(
        vectors((5, 0)), torch.tensor([[True]]), vectors((3, 0)), vectors((0, 0.1), (-7, 0)), YES
    )
    assert loss.item() == pytest.approx(math.log(math.exp(2) + 1 + math.exp(-2)) - 2)
    assert loss.item() == pytest.approx(info_nce(1, 0, -1))


def test_key_is_the_mean_of_unit_positives_without_padding() -> None:
    # (1, 0) and (0, 1), of unequal lengths, mean (1, 1) / sqrt 2. The third is padding.
    positives = vectors((1, 0), (0, 9), (-100, 0))
    present = torch.tensor([[True, True, False]])
    loss = PromptContrastiveLoss()(positives, present, vectors((1, 0)), vectors((0, 1)), YES)
    assert loss.item() == pytest.approx(info_nce(math.sqrt(0.5), 0))


def test_mean_over_queries() -> None:
    queries = vectors((1, 0), (0, 2))
    loss = PromptContrastiveLoss()(vectors((1, 0)), torch.tensor([[True]]), queries, vectors((0, 1)), YES)
    assert loss.item() == pytest.approx((info_nce(1, 0) + info_nce(0, 1)) / 2)


def test_temperature() -> None:
    loss = PromptContrastiveLoss(temperature=1.0)(
        vectors((1, 0)), torch.tensor([[True]]), vectors((1, 0)), vectors((0, 1)), YES
    )
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)))


def batch(images: int) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(0)
    positives, queries, negatives = (torch.randn(images, n, 4, generator=g) for n in (2, 3, 5))
    present = torch.ones(images, 2, dtype=torch.bool)
    return positives, present, queries, negatives, torch.ones(images, dtype=torch.bool)


@pytest.mark.parametrize("why", ["not usable", "no positive"])
def test_images_that_say_nothing_count_nothing(why) -> None:
    positives, present, queries, negatives, usable = batch(3)
    loss = PromptContrastiveLoss()
    parts = [loss(*(t[i : i + 1] for t in (positives, present, queries, negatives, usable))) for i in range(3)]
    if why == "not usable":
        usable[1] = False
    else:
        present[1] = False
    queries.requires_grad_()
    total = loss(positives, present, queries, negatives, usable)
    assert total.item() == pytest.approx((parts[0] + parts[2]).item() / 2)
    total.backward()
    assert (queries.grad[1] == 0).all()
    assert (queries.grad[[0, 2]].abs().amax(dim=(1, 2)) > 0).all()


def test_no_usable_image_is_zero_with_zero_gradient() -> None:
    positives, present, queries, negatives, usable = batch(2)
    queries.requires_grad_()
    loss = PromptContrastiveLoss()(positives, present, queries, negatives, torch.zeros_like(usable))
    loss.backward()
    assert loss.item() == 0
    assert (queries.grad == 0).all()


def test_gradient_reaches_queries_alone() -> None:
    positives, present, queries, negatives, usable = batch(2)
    for t in (positives, queries, negatives):
        t.requires_grad_()
    PromptContrastiveLoss()(positives, present, queries, negatives, usable).backward()
    assert positives.grad is None
    assert negatives.grad is None
    assert (queries.grad.abs().amax(dim=2) > 0).all()


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("features", [True, False])
def test_loss_teaches_image_encoder_and_contrastive_head(dense, features) -> None:
    network = tiny_segmenter(dense_prompts=dense, point_features=features)
    coords, labels = torch.tensor([[[4.5, 12.5]]]), torch.ones(1, 1, dtype=torch.long)
    encoded = network.encode(torch.randn(1, 1, 16, 24, generator=torch.Generator().manual_seed(0)))
    probes = torch.tensor([[[4.5, 12.5], [3.5, 11.5], [12.5, 3.5], [14.5, 20.5]]])
    _, probed = network.decode_with_probes(*encoded, coords, labels, probes)
    PromptContrastiveLoss()(probed[:, :1], labels == 1, probed[:, 1:2], probed[:, 2:], YES).backward()
    for part in (network.image_encoder, network.mask_decoder.contrastive_head):
        assert all(p.grad.abs().max() > 0 for p in part.parameters())
    heads = (network.mask_decoder.mask_head, network.mask_decoder.detection_head)
    assert all(p.grad is None for head in heads for p in head.parameters())


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_temperature_must_be_positive(temperature) -> None:
    with pytest.raises(ValueError, match="temperature must be positive"):
        PromptContrastiveLoss(temperature)
