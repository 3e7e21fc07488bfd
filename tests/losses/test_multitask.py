import math

import pytest
import torch

from bundle.losses import MultitaskLoss

LN2, LN4 = math.log(2), math.log(4)


def column(*values: float) -> torch.Tensor:
    """(1,1,n,1)"""
    return torch.tensor(values).view(1, 1, -1, 1)


# Two pixels. Logits 0 and ln 3: p is 1/2 and 3/4, BCE against 1 and 0 is ln 2 and ln 4. Density is off by 1/2 and 1.
PRED = torch.cat((column(0.0, math.log(3)), column(0.5, 1.0)), dim=1)
MASK, DENSITY = column(1.0, 0.0), column(1.0, 0.0)


def test_without_weights_by_hand() -> None:
    seg, det = MultitaskLoss(smooth=1.0)(PRED, MASK, DENSITY)
    # Dice: 2 * 1/2 + 1 over (1/2 + 3/4) + 1 + 1
    assert seg.item() == pytest.approx((LN2 + LN4) / 2 + 1 - 2 / 3.25)
    assert det.item() == pytest.approx((0.25 + 1) / 2)


def test_weights_by_hand() -> None:
    seg, det = MultitaskLoss(smooth=1.0)(PRED, MASK, DENSITY, column(1.0, 0.5))
    # Dice: 2 * 1/2 + 1 over (1/2 + 3/8) + 1 + 1
    assert seg.item() == pytest.approx((LN2 + LN4 / 2) / 1.5 + 1 - 2 / 2.875)
    assert det.item() == pytest.approx((0.25 + 0.5) / 1.5)


def test_weight_of_one_is_no_weight() -> None:
    loss = MultitaskLoss()
    assert loss(PRED, MASK, DENSITY) == loss(PRED, MASK, DENSITY, torch.ones_like(MASK))


def test_ignored_pixels_have_no_gradient_and_no_say() -> None:
    torch.manual_seed(0)
    pred = torch.randn(2, 2, 4, 5, requires_grad=True)
    mask, density = torch.rand(2, 1, 4, 5).round(), torch.rand(2, 1, 4, 5)
    weight = torch.rand(2, 1, 4, 5).round()
    seg, det = MultitaskLoss()(pred, mask, density, weight)
    (seg + det).backward()
    ignored = (weight == 0).expand_as(pred)
    assert ignored.any()
    assert (pred.grad[ignored] == 0).all()
    assert (pred.grad[~ignored] != 0).all()
    other = MultitaskLoss()(pred, torch.where(weight == 0, 1 - mask, mask), density + (weight == 0), weight)
    assert other == (seg, det)


def test_nothing_believed_is_no_loss() -> None:
    pred = torch.randn(1, 2, 4, 4, requires_grad=True)
    zero = torch.zeros(1, 1, 4, 4)
    seg, det = MultitaskLoss()(pred, zero, zero, zero)
    assert (seg.item(), det.item()) == (0.0, 0.0)
    (seg + det).backward()
    assert (pred.grad == 0).all()


def test_perfect_prediction() -> None:
    mask = torch.rand(1, 1, 8, 8).round()
    seg, det = MultitaskLoss()(torch.cat((200 * mask - 100, mask), dim=1), mask, mask)
    assert seg.item() == pytest.approx(0, abs=1e-6)
    assert det.item() == 0


def test_dice_runs_over_the_whole_batch() -> None:
    """An image without foreground does not count as one of Dice 0 or 1."""
    pred = torch.tensor([0.0, -100.0]).view(2, 1, 1, 1).expand(2, 2, 1, 1)
    mask = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)
    seg, _ = MultitaskLoss(smooth=1.0)(pred, mask, mask)
    assert seg.item() == pytest.approx(LN2 / 2 + 1 - 2 / 2.5)


def test_masks_of_any_type() -> None:
    assert MultitaskLoss()(PRED, MASK.byte(), DENSITY, MASK.bool()) == MultitaskLoss()(PRED, MASK, DENSITY, MASK)


def test_adjusted_logits_are_those_of_the_other_share() -> None:
    torch.manual_seed(0)
    pred, mask, density = torch.randn(1, 2, 4, 4), torch.randint(0, 2, (1, 1, 4, 4)), torch.rand(1, 1, 4, 4)
    adjustment = math.log(0.1 / 0.9) - math.log(0.05 / 0.95)
    shifted = pred + torch.tensor([adjustment, 0.0]).reshape(1, 2, 1, 1)
    adjusted = MultitaskLoss(logit_adjustment=adjustment)(pred, mask, density)
    for part, expected in zip(adjusted, MultitaskLoss()(shifted, mask, density), strict=True):
        assert part.item() == pytest.approx(expected.item())
