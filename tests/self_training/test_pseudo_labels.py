import math

import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from bundle.self_training import PseudoLabeler, PseudoLabels, components
from bundle.self_training.pseudo_labels import discs

SIZE = (32, 48)
BLOB = (slice(6, 14), slice(8, 18))
OTHER = (slice(18, 26), slice(28, 40))
AT_BORDER = (slice(24, 32), slice(0, 9))


def plane(background: float = 0.0) -> torch.Tensor:
    return torch.full((1, 1, *SIZE), background)


def marks(*points: tuple[int, int]) -> torch.Tensor:
    """(1,1,H,W), 1 at points (x, y)."""
    out = plane()
    for x, y in points:
        out[0, 0, x, y] = 1
    return out


def probability(*areas: tuple[tuple[slice, slice], float]) -> torch.Tensor:
    """Confident background, and areas of given probability."""
    p = plane(0.05)
    for (xs, ys), value in areas:
        p[0, 0, xs, ys] = value
    return p


def label(
    p: torch.Tensor,
    foreground: tuple[tuple[int, int], ...] = (),
    background: tuple[tuple[int, int], ...] = (),
    estimated: tuple[tuple[int, int], ...] = (),
    complete: bool = False,
    doubtful: tuple[tuple[slice, slice], ...] = (),
    density: torch.Tensor | None = None,
    **settings,
) -> PseudoLabels:
    pred = torch.cat((p.logit(), plane(0.25) if density is None else density), dim=1)
    given = torch.cat((marks(*foreground), marks(*background)), dim=1)
    clicks = torch.cat((marks(*foreground, *estimated), marks(*background)), dim=1)
    return PseudoLabeler(**settings)(pred, given, clicks, torch.tensor([complete]), area(*doubtful))


SPARSE = torch.tensor([False])


def seen(density: torch.Tensor, p: torch.Tensor | None = None) -> torch.Tensor:
    """The teacher's prediction (B,2,H,W) of this density."""
    return torch.cat((torch.zeros_like(density) if p is None else p.logit(), density), dim=1)


def area(*areas: tuple[slice, slice]) -> torch.Tensor:
    return probability(*((a, 1.0) for a in areas)) == 1


def test_discs() -> None:
    disc = discs(marks((3, 40)), 2)
    assert disc.sum() == 13  # rows of 1, 3, 5, 3, 1
    xs, ys = disc[0, 0].nonzero().unbind(1)
    assert ((xs - 3) ** 2 + (ys - 40) ** 2).max() == 4


@pytest.mark.parametrize("radius", [0, 2, 7])
def test_discs_are_the_convolution_of_clicks_with_a_disc(radius) -> None:
    clicks = torch.rand(3, 1, 17, 11, generator=torch.Generator().manual_seed(0)) > 0.97
    clicks[0, 0, 0, 0] = clicks[1, 0, -1, -1] = True
    clicks[2] = False
    r = torch.arange(-radius, radius + 1.0)
    kernel = (r[:, None].square() + r.square() <= radius * radius).float()[None, None]
    assert torch.equal(discs(clicks, radius), F.conv2d(clicks.float(), kernel, padding=radius) > 0.5)


def test_without_clicks_components_are_only_those_that_hold_estimated_points(monkeypatch) -> None:
    labelled = []
    label = ndimage.label
    monkeypatch.setattr(components.ndimage, "label", lambda *a, **kw: labelled.append(1) or label(*a, **kw))
    pred, nothing = torch.randn(2, 2, 16, 16), torch.zeros(2, 2, 16, 16)
    clicks = nothing.clone()
    clicks[0, 0, 4, 4] = 1
    incomplete, certain = torch.tensor([False, False]), torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    labeler = PseudoLabeler()
    labeler(pred, nothing, clicks, incomplete, certain)
    assert len(labelled) == 1
    labeler(pred, nothing, clicks, ~incomplete, certain)
    assert len(labelled) == 3  # what no click reaches is refuted now


def test_unclicked_prediction_is_taken_by_confidence() -> None:
    sure, unsure = (BLOB, 0.9), (OTHER, 0.7)
    doubtful_ground = (AT_BORDER, 0.25)
    got = label(probability(sure, unsure, doubtful_ground), estimated=((9, 12), (20, 30)))
    assert torch.equal(got.mask > 0, area(BLOB, OTHER))
    assert torch.equal(got.weight > 0, ~area(OTHER, AT_BORDER))
    assert torch.equal(got.predicted, got.mask)


def test_confidence_bounds_what_counts() -> None:
    p = probability((BLOB, 0.7))
    for confidence, counts in ((0.65, True), (0.75, False)):
        got = label(p, estimated=((9, 12),), confidence=confidence)
        assert (got.weight[area(BLOB)] > 0).all().item() is counts
        assert (got.weight[~area(BLOB)] == 1).all()


def test_foreground_without_any_point_is_ignored() -> None:
    got = label(probability((BLOB, 0.95), (OTHER, 0.95)), estimated=((9, 12),))
    assert torch.equal(got.weight > 0, ~area(OTHER))


def test_click_lowers_the_bar_for_what_hangs_on_it() -> None:
    p = probability((BLOB, 0.4), (OTHER, 0.4))
    without = label(p)
    assert without.mask.sum() == 0
    assert torch.equal(without.weight > 0, ~area(BLOB, OTHER))
    got = label(p, foreground=((9, 12),))
    assert torch.equal(got.mask > 0, area(BLOB))
    assert torch.equal(got.weight > 0, ~area(OTHER))
    assert got.predicted.sum() == 0


def test_bar_is_not_lowered_to_the_ground() -> None:
    got = label(probability((BLOB, 0.25)), foreground=((9, 12),), low_threshold=0.3, click_radius=1)
    assert torch.equal(got.mask, discs(marks((9, 12)), 1).float())


FRAGMENT = (slice(6, 14), slice(20, 24))  # two pixels beside BLOB


def test_what_lies_near_a_click_may_be_the_rest_of_its_instance() -> None:
    p = probability((BLOB, 0.95), (OTHER, 0.12))
    got = label(p, foreground=((9, 12),), near_radius=8)
    near = discs(marks((9, 12)), 8)
    p[near & ~area(BLOB)] = 0.12  # the teacher is not sure of the ground there
    unsure = label(p, foreground=((9, 12),), near_radius=8)
    assert (got.weight == 1).all()
    assert torch.equal(unsure.weight > 0, area(BLOB) | ~near)
    assert (label(p, foreground=((9, 12),), near_radius=8, near_confidence=0.8).weight == 1).all()
    everything = label(probability((BLOB, 0.95)), foreground=((9, 12),), near_radius=8, near_confidence=1.0)
    assert torch.equal(everything.weight > 0, area(BLOB) | ~near)


def test_no_doubt_near_a_click() -> None:
    p = probability((BLOB, 0.95), (FRAGMENT, 0.6))
    near = label(p, foreground=((9, 12),), doubtful=(FRAGMENT,), near_radius=40)
    assert (near.weight[area(FRAGMENT)] == 0).all()
    far = label(p, foreground=((9, 12),), doubtful=(FRAGMENT,), near_radius=4)
    assert (far.weight[area(FRAGMENT)] == 1).all()


def test_where_all_are_clicked_a_fragment_near_a_click_is_not_refuted() -> None:
    p = probability((BLOB, 0.95), (FRAGMENT, 0.95), (OTHER, 0.95))
    got = label(p, foreground=((9, 12),), complete=True, near_radius=10)
    assert (got.weight[area(FRAGMENT)] == 0).all()
    assert (got.density[area(FRAGMENT)] > 0).all()
    assert (got.mask[area(OTHER)] == 0).all() and (got.weight[area(OTHER)] == 1).all()


@pytest.mark.parametrize(
    "refuting", [{"background": ((20, 32),)}, {"doubtful": (OTHER,)}, {"foreground": ((9, 12),), "complete": True}]
)
def test_a_refuted_point_is_no_prompt(refuting) -> None:
    p = probability((BLOB, 0.95), (OTHER, 0.95))
    got = label(p, estimated=((20, 30), (10, 16)), near_radius=4, **{"foreground": ((9, 12),), **refuting})
    assert torch.equal(got.clicks[:, :1], marks((9, 12), (10, 16)))
    assert torch.equal(got.clicks[:, 1:], marks(*refuting.get("background", ())))


def test_where_all_are_clicked_points_are_estimated_at_the_border_alone() -> None:
    density = plane(0.1)
    density[0, 0, 22, 34] = density[0, 0, 28, 4] = 0.9  # in OTHER, in AT_BORDER
    p = probability((BLOB, 0.95), (OTHER, 0.95), (AT_BORDER, 0.95))
    given = torch.cat((marks((9, 12)), plane()), dim=1)
    for complete, expected in ((True, ((9, 12), (28, 4))), (False, ((9, 12), (28, 4), (22, 34)))):
        clicks = PseudoLabeler().estimate_clicks(seen(density, p), given, torch.tensor([complete]), max_points=8)
        assert torch.equal(clicks[:, :1], marks(*expected))


def test_click_at_an_instance_that_the_teacher_missed() -> None:
    got = label(plane(0.05), foreground=((20, 40),), click_radius=2)
    assert torch.equal(got.mask > 0, discs(marks((20, 40)), 2))
    assert (got.weight == 1).all()
    assert got.predicted.sum() == 0


def test_background_click_removes_the_instance() -> None:
    p = probability((BLOB, 0.95), (OTHER, 0.95))
    got = label(p, background=((9, 12),), estimated=((20, 30), (10, 13)))
    assert torch.equal(got.mask > 0, area(OTHER))
    assert (got.weight == 1).all()
    assert (got.density[area(BLOB)] == 0).all()
    assert (got.density[area(OTHER)] == 0.25).all()


def test_what_is_removed_counts_as_background_however_unsure_the_teacher() -> None:
    p = probability((BLOB, 0.6), (OTHER, 0.4))
    clicked = label(p, background=((9, 12),))
    assert torch.equal(clicked.weight > 0, ~area(OTHER))
    complete = label(p, foreground=((9, 12),), complete=True)
    assert torch.equal(complete.mask > 0, area(BLOB))
    assert (complete.weight == 1).all()


def test_doubt_removes_an_instance_unless_it_was_clicked() -> None:
    p = probability((BLOB, 0.95), (OTHER, 0.95))
    got = label(p, foreground=((9, 12),), estimated=((20, 30),), doubtful=(BLOB, OTHER))
    assert torch.equal(got.mask > 0, area(BLOB))
    assert (got.weight == 1).all()


def test_background_click_beside_a_foreground_click_removes_a_disc() -> None:
    got = label(probability((BLOB, 0.95)), foreground=((8, 10),), background=((12, 16),), click_radius=1)
    assert torch.equal(got.mask > 0, area(BLOB) & ~discs(marks((12, 16)), 1))


def test_where_all_are_clicked_what_is_not_is_background() -> None:
    p = probability((BLOB, 0.95), (OTHER, 0.95), (AT_BORDER, 0.95))
    got = label(p, foreground=((9, 12),), estimated=((20, 30),), complete=True)
    assert torch.equal(got.mask > 0, area(BLOB, AT_BORDER))  # that at the border may have its click beyond
    assert (got.weight[~area(AT_BORDER)] == 1).all()
    assert (got.density[area(OTHER)] == 0).all()
    incomplete = label(p, foreground=((9, 12),), estimated=((20, 30),), complete=False)
    assert torch.equal(incomplete.mask > 0, area(BLOB, OTHER, AT_BORDER))


def test_each_image_has_its_own_completeness() -> None:
    p = probability((OTHER, 0.95)).repeat(2, 1, 1, 1)
    none = torch.zeros(2, 2, *SIZE)
    pred, complete = torch.cat((p.logit(), p), dim=1), torch.tensor([True, False])
    got = PseudoLabeler()(pred, none, none, complete, torch.zeros_like(p) > 0)
    assert got.mask.sum(dim=(1, 2, 3)).tolist() == [0, area(OTHER).sum()]


def test_density_has_the_given_clicks_and_stays_in_range() -> None:
    density = plane(0.25)
    density[0, 0, 0, 0], density[0, 0, 0, 47] = -1.0, 3.0
    got = label(probability((BLOB, 0.95)), foreground=((11, 10),), density=density, density_sigma=2.0).density[0, 0]
    assert got[9, 12] == 1  # the pixel of BLOB nearest to its centroid, wherever it was clicked
    assert got[9, 14].item() == pytest.approx(math.exp(-0.5))
    assert (got[0, 0], got[0, 47], got[20, 40]) == (0, 1, 0.25)


def test_estimated_clicks_stand_beside_the_given() -> None:
    density = plane(0.1)
    for x, y in ((4, 4), (16, 24), (28, 44)):
        density[0, 0, x, y] = 0.9
    density[0, 0, 16, 4] = 0.4  # no peak
    given = torch.cat((marks((6, 6)), marks((27, 40))), dim=1)
    clicks = PseudoLabeler(peak_radius=3).estimate_clicks(seen(density), given, SPARSE, max_points=4)
    # That at (4, 4) is the foreground click's own; at (28, 44) a person has said background.
    assert torch.equal(clicks[:, :1], marks((6, 6), (16, 24)))
    assert torch.equal(clicks[:, 1:], given[:, 1:])


def test_given_clicks_and_the_highest_peaks_have_room() -> None:
    density = plane(0.1).repeat(2, 1, 1, 1)
    peaks = {(4, 4): 0.6, (4, 24): 0.9, (16, 4): 0.7, (16, 24): 0.8, (28, 44): 0.55}
    for (x, y), height in peaks.items():
        density[:, 0, x, y] = height
    given = torch.zeros(2, 2, *SIZE)
    given[0, 0, 28, 4] = given[0, 1, 28, 24] = 1
    expected = {  # clicks of the first image, of which two are given, and of the second
        6: [[(4, 4), (4, 24), (16, 4), (16, 24), (28, 4)], [(4, 4), (4, 24), (16, 4), (16, 24), (28, 44)]],
        3: [[(4, 24), (28, 4)], [(4, 24), (16, 4), (16, 24)]],
        2: [[(28, 4)], [(4, 24), (16, 24)]],
        1: [[(28, 4)], [(4, 24)]],
    }
    for max_points, images in expected.items():
        clicks = PseudoLabeler(peak_radius=3).estimate_clicks(seen(density), given, SPARSE.expand(2), max_points)
        assert [[tuple(c) for c in image[0].nonzero().tolist()] for image in clicks] == images
        assert torch.equal(clicks[:, 1], given[:, 1])


def test_state_has_the_scores_of_clicks() -> None:
    one, other = PseudoLabeler(), PseudoLabeler()
    given = torch.cat((marks((3, 4), (20, 30)), plane()), dim=1)
    one.threshold(plane(0.25), given)
    other.load_state_dict(one.state_dict())
    assert other.click_scores.tolist() == [0.25, 0.25]
    other.threshold(plane(0.75), given)
    assert other.click_scores.tolist() == [0.25, 0.25, 0.75, 0.75]


def test_threshold_of_peaks_is_learned_from_clicks() -> None:
    labeler = PseudoLabeler(peak_threshold=0.5, recall=0.8, peak_radius=1)
    spots = [(2 + 6 * i, 2 + 6 * j) for i in range(5) for j in range(8)]
    density, given = plane(), torch.cat((marks(*spots), plane()), dim=1)
    for n, (x, y) in enumerate(spots):
        density[0, 0, x, y] = 0.5 + 0.01 * n
    few = torch.cat((marks(*spots[:5]), plane()), dim=1)
    assert PseudoLabeler(peak_threshold=0.5).threshold(density, few) == 0.5
    # 80 % of 40 values from 0.50 to 0.89 lie above that at rank 0.2 * 39 = 7.8
    assert labeler.threshold(density, given) == pytest.approx(0.578)
    assert PseudoLabeler(peak_threshold=0.7, peak_radius=1).threshold(density, given) == pytest.approx(0.7)


@pytest.mark.parametrize(
    "settings",
    [
        {"confidence": 0.4},
        {"confidence": 1.0},
        {"low_threshold": 0.0},
        {"low_threshold": 0.6},
        {"near_confidence": 0.7},
        {"near_confidence": 1.1},
    ],
)
def test_thresholds_out_of_range(settings) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))} must be in"):
        PseudoLabeler(**settings)
