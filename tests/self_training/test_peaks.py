import math

import pytest
import torch
from torch.nn import functional as F

from bundle.self_training.peaks import density_peaks, draw_density, square_maximum
from tests.self_training.test_pseudo_labels import marks, plane


def test_peaks_are_the_highest_of_their_neighbourhood() -> None:
    density = plane(0.1)
    density[0, 0, 5, 5] = 0.9
    density[0, 0, 8, 9] = 0.8  # 4 away along one axis: suppressed
    density[0, 0, 5, 20] = 0.7  # far enough
    density[0, 0, 25, 40] = 0.5  # not above the threshold
    density[0, 0, 31, 0] = 0.6  # in a corner
    assert torch.equal(density_peaks(density, 0.5, 4), marks((5, 5), (5, 20), (31, 0)) > 0)
    assert torch.equal(density_peaks(density, 0.4, 3), marks((5, 5), (8, 9), (5, 20), (25, 40), (31, 0)) > 0)


def test_drawn_density_by_hand() -> None:
    drawn = draw_density(marks((10, 30)), sigma=2.0)[0, 0]
    assert drawn[10, 30] == 1
    assert drawn[13, 30].item() == pytest.approx(math.exp(-9 / 8))
    assert drawn[11, 28].item() == pytest.approx(math.exp(-5 / 8))
    assert drawn[10, 30 + 7] == 0
    assert draw_density(marks((10, 30), (10, 31), (11, 30)), 2.0).max() == 1


def test_a_plateau_is_one_peak() -> None:
    density = plane(0.1)
    density[0, 0, 5:8, 5:9] = 0.9
    density[0, 0, 20, 20] = 0.8
    assert torch.equal(density_peaks(density, 0.5, 4), marks((7, 8), (20, 20)) > 0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rounded_maps_have_as_many_peaks(dtype) -> None:
    points = [(x, y) for x in range(12, 250, 24) for y in range(12, 250, 24)]
    centres = torch.zeros(1, 1, 256, 256)
    centres[0, 0, [x for x, _ in points], [y for _, y in points]] = 1
    density = 0.9 * draw_density(centres, 4.0)
    assert int(density_peaks(density.to(dtype)).sum()) == len(points)


@pytest.mark.parametrize("radius", [0, 1, 4])
def test_maximum_of_a_square_in_two_passes(radius) -> None:
    values = torch.randn(2, 1, 13, 9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(square_maximum(values, radius), F.max_pool2d(values, 2 * radius + 1, stride=1, padding=radius))
