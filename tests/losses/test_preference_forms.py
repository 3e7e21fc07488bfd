import pytest
import torch
from torch.nn import functional as F

from bundle.losses import (
    ComponentLoss,
    HingeLoss,
    IPOLoss,
    PixelLoss,
    PreferenceLoss,
    choose_preference_loss,
    preference_statistics,
)
from bundle.losses.anchor import anchor_losses
from bundle.losses.preference_forms import number_components
from tests.losses.test_preference import B, H, K, R, W, case

FORMS = [
    IPOLoss(),
    HingeLoss(),
    PixelLoss(),
    PixelLoss(reference_free=True),
    ComponentLoss(),
    ComponentLoss(min_share=0.0, reference_free=False),
]


def written_out(of_pair) -> torch.Tensor:
    """Mean over the judged regions of the mean over rejected candidates, of :func:`case` with some regions unjudged."""
    policy, reference, candidates, chosen, regions = unjudged_case()
    found = []
    for b, r in (chosen >= 0).nonzero().tolist():
        w, of_region = candidates[b, chosen[b, r]], []
        for k in range(K):
            differ = (regions[b] == r) & (candidates[b, k] != w)
            if differ.any():
                of_region.append(of_pair(2 * w - 1, policy[b, 0], reference[b, 0], differ))
        found.append(torch.stack(of_region).mean())
    return torch.stack(found).mean()


def unjudged_case():
    policy, reference, candidates, chosen, regions = case()
    chosen[0, 2] = chosen[1] = -1
    return policy, reference, candidates, chosen, regions


def test_ipo_written_out():
    expected = written_out(lambda s, z, ref, differ: ((s * (z - ref))[differ].mean() - 2.5) ** 2)
    torch.testing.assert_close(IPOLoss(beta=0.2)(*unjudged_case()), expected)


def test_hinge_written_out():
    expected = written_out(lambda s, z, ref, differ: F.relu(1 - 0.5 * (s * (z - ref))[differ].mean()))
    torch.testing.assert_close(HingeLoss(beta=0.5)(*unjudged_case()), expected)


def test_pixel_written_out():
    expected = written_out(lambda s, z, ref, differ: -F.logsigmoid(0.7 * s * (z - ref))[differ].mean())
    torch.testing.assert_close(PixelLoss(beta=0.7)(*unjudged_case()), expected)


@pytest.mark.parametrize("min_share", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("reference_free", [False, True])
def test_component_written_out(reference_free, min_share):
    def of_pair(s, z, ref, differ):
        margins = s * (z if reference_free else z - ref)
        total, count, left = 0.0, 0, differ.clone()
        while left.any():
            part = torch.zeros_like(left)
            part[tuple(left.nonzero()[0])] = True
            while True:  # flood to the eight neighbours
                grown = (F.max_pool2d(part[None, None].float(), 3, 1, 1)[0, 0] > 0) & left
                if torch.equal(grown, part):
                    break
                part = grown
            if part.sum() >= min_share * differ.sum():
                total = total + part.sum() * F.relu(1.5 - 0.8 * margins[part].mean())
                count += int(part.sum())
            left &= ~part
        return torch.as_tensor(total / max(count, 1))

    loss = ComponentLoss(beta=0.8, gamma=1.5, min_share=min_share, reference_free=reference_free)
    torch.testing.assert_close(loss(*unjudged_case()), written_out(of_pair))


def test_with_two_candidates_pixels_without_reference_are_nll():
    policy, reference, candidates, chosen, regions = case()
    chosen = torch.zeros_like(chosen)[:, :1]
    regions = torch.zeros_like(regions)
    found = PixelLoss(reference_free=True)(policy[:1], reference[:1], candidates[:1, :2], chosen[:1], regions[:1])
    both = (torch.cat((logits, torch.zeros_like(logits)), dim=1)[:1] for logits in (policy, reference))
    torch.testing.assert_close(found, anchor_losses(*both, candidates[:1, :2], chosen[:1], regions[:1])["nll"])


@pytest.mark.parametrize("loss", FORMS, ids=repr)
def test_forms_teach_where_candidates_of_judged_regions_differ_and_nowhere_else(loss):
    policy, reference, candidates, chosen, regions = unjudged_case()
    candidates[..., -2:] = 1
    loss(0.1 * policy, 0.1 * reference, candidates, chosen, regions).backward()
    of_pixels = chosen.gather(1, regions.flatten(1).clamp(min=0)).view_as(regions)
    judged = (of_pixels >= 0) & (regions >= 0) & (candidates.amax(1) != candidates.amin(1))
    step = -policy.grad[:, 0]
    assert (step[~judged] == 0).all() and (step[judged] != 0).any()
    best = candidates.gather(1, of_pixels.clamp(min=0).unsqueeze(1))[:, 0] > 0.5
    assert torch.equal((step > 0)[step != 0], best[step != 0])


@pytest.mark.parametrize("loss", FORMS, ids=repr)
def test_nothing_judged_is_zero_with_zero_gradient(loss):
    policy, reference, candidates, chosen, regions = case()
    value = loss(policy, reference, candidates, torch.full_like(chosen, -2), regions)
    value.backward()
    assert value.item() == 0 and (policy.grad == 0).all()


@pytest.mark.parametrize("loss", FORMS, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_at_extreme_logits(loss, dtype):
    policy, reference, candidates, chosen, regions = case()
    extreme = (50 * policy.detach().sign()).to(dtype).requires_grad_()
    value = loss(extreme, (-50 * reference.sign()).to(dtype), candidates, chosen, regions)
    value.backward()
    assert value.isfinite() and extreme.grad.isfinite().all()


@pytest.mark.parametrize("loss", FORMS, ids=repr)
def test_statistics_are_those_of_the_disagreement(loss):
    tensors = unjudged_case()
    plain = PreferenceLoss(normalize="disagreement")
    of_form, of_plain = (preference_statistics(one, one.rewards(*tensors), *tensors) for one in (loss, plain))
    assert of_form["rewards/accuracies"] == of_plain["rewards/accuracies"]
    assert of_form["rewards/margins"][0] == pytest.approx(loss.beta * of_plain["rewards/margins"][0], rel=1e-5)


def test_a_component_that_has_its_margin_teaches_no_more():
    candidates = torch.zeros(1, 2, 8, 8)
    candidates[0, 0, 1:3, 1:3] = candidates[0, 0, 5:7, 5:7] = 1
    policy = torch.zeros(1, 1, 8, 8)
    policy[0, 0, 1:3, 1:3] = torch.tensor([[9.0, -1.0], [1.0, 3.0]])  # 3 on the mean
    policy.requires_grad_()
    nowhere, regions = torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 8, 8, dtype=torch.long)
    ComponentLoss(gamma=2.0)(policy, policy.detach(), candidates, nowhere, regions).backward()
    taught = policy.grad[0, 0] != 0
    assert taught[5:7, 5:7].all() and taught.sum() == 4


def test_components_end_at_the_border_of_a_region():
    differ = torch.ones(2, 2, 4, 6, dtype=torch.bool)
    differ[:, 1, 2] = False
    regions = (torch.arange(6) // 3).expand(2, 4, 6)
    numbers = number_components(differ, regions)
    assert ((numbers > 0) == differ.numpy()).all()
    assert sorted(set(numbers.flatten().tolist())) == list(range(1 + 2 * (2 + 4)))
    for number in range(1, numbers.max() + 1):
        where = torch.from_numpy(numbers == number)
        assert len(regions.unsqueeze(1).expand(2, 2, 4, 6)[where].unique()) == 1


@pytest.mark.parametrize("form", [PreferenceLoss, IPOLoss, HingeLoss, PixelLoss, ComponentLoss])
def test_hard_rejected_are_the_nearest(form):
    policy, reference, candidates, chosen, regions = case()
    chosen = torch.zeros_like(chosen)
    whole = torch.zeros_like(regions)
    far = candidates.clone()
    far[:, 1] = candidates[:, 0]
    far[:, 1, 0, :3] = 1 - far[:, 1, 0, :3]  # differs at 3 pixels
    far[:, 2] = candidates[:, 0]
    far[:, 2, 1, :5] = 1 - far[:, 2, 1, :5]
    far[:, 3] = 1 - candidates[:, 0]
    chosen = chosen[:, :1]
    for count, kept in ((1, 2), (2, 3), (3, 4), (9, 4)):
        hard = form(hard_rejected=count)(policy, reference, far, chosen, whole)
        torch.testing.assert_close(hard, form()(policy, reference, far[:, :kept], chosen, whole))
    with pytest.raises(ValueError, match="hard_rejected is 0"):
        form(hard_rejected=0)


def test_a_form_is_chosen_by_its_name():
    losses = {"ipo": IPOLoss(), "hinge": HingeLoss()}
    assert choose_preference_loss("hinge", losses) is losses["hinge"]
    with pytest.raises(ValueError, match="loss_type is 'kto', expected one of ipo, hinge"):
        choose_preference_loss("kto", losses)


def test_a_margin_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="gamma must be above 0, got 0"):
        ComponentLoss(gamma=0)
    with pytest.raises(ValueError, match="min_share is 2, expected a share"):
        ComponentLoss(min_share=2)
    with pytest.raises(ValueError, match="beta must be above 0"):
        PixelLoss(beta=0)


def test_the_case_has_all_that_is_assumed():
    policy, *_ = case()
    assert policy.shape == (B, 1, H, W) and R > 4
