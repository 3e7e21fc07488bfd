import numpy as np
import pytest

from bundle.preferences.candidates.contour_evolution import METHODS, evolve_mask

SHAPE = (72, 64)


def disc(x: float, y: float, radius: float) -> np.ndarray:
    columns, rows = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


TRUTH = disc(30, 32, 11)
OTHER = disc(58, 12, 8)


def section(contrast: float = -1.0, noise: float = 0.25) -> np.ndarray:
    """Two discs, one of them in no mask, on uneven ground."""
    ground = np.linspace(0, 1, SHAPE[0])[:, None] + np.zeros(SHAPE)
    image = ground + contrast * (TRUTH | OTHER)
    return image + noise * np.random.default_rng(0).standard_normal(SHAPE)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("contrast", [-1.0, 1.0])
@pytest.mark.parametrize("start", [disc(30, 32, 14), disc(30, 32, 8.5), disc(32, 34, 11)], ids=["wide", "thin", "off"])
def test_contour_moves_to_the_edge(method: str, contrast: float, start: np.ndarray) -> None:
    evolved = evolve_mask(section(contrast), start, method)
    assert evolved.dtype == bool and evolved.shape == SHAPE
    assert dice(start, TRUTH) < 0.9
    assert dice(evolved, TRUTH) > (0.94 if method == "chan_vese" else 0.92)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_flooded(method: str) -> None:
    start = disc(30, 32, 14)
    evolved = evolve_mask(section(), start, method)
    assert not (evolved & OTHER).any()
    assert not (evolved & ~disc(30, 32, 14 + 4 + 1.5)).any()
    # noise alone has no edges to run to, nor to run away from
    evolved = evolve_mask(np.random.default_rng(1).standard_normal(SHAPE), start, method)
    assert not (evolved & ~disc(30, 32, 14 + 4 + 1.5)).any()
    assert (evolved | ~disc(30, 32, 14 - 4 - 1.5)).all()


@pytest.mark.parametrize("method", METHODS)
def test_empty_and_full_masks_stay(method: str) -> None:
    assert not evolve_mask(section(), np.zeros(SHAPE, dtype=bool), method).any()
    assert evolve_mask(section(), np.ones(SHAPE, dtype=bool), method).all()


@pytest.mark.parametrize("method", METHODS)
def test_scale_and_offset_do_not_matter(method: str) -> None:
    image, start = section(), disc(32, 34, 12)
    expected = evolve_mask(image, start, method)
    assert (evolve_mask(1000 * image.astype(np.float32) - 7, start, method) == expected).mean() > 0.999


@pytest.mark.parametrize("method", METHODS)
def test_the_same_again_whatever_was_evolved_between(method: str) -> None:
    image, start = section(), disc(32, 34, 12)
    before = start.copy()
    expected = evolve_mask(image, start, method, reach=2)
    evolve_mask(image, OTHER, method, reach=1, smoothing=3)
    assert (evolve_mask(image, start, method, reach=2) == expected).all()
    assert (start == before).all()


def test_a_flat_image_moves_nothing() -> None:
    start = disc(30, 32, 10)
    assert (evolve_mask(np.full(SHAPE, 3.0), start) == start).all()


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(ValueError, match="method is 'snake': expected chan_vese or geodesic"):
        evolve_mask(section(), TRUTH, "snake")
    with pytest.raises(ValueError, match="reach of contours is 0: expected a number above 0"):
        evolve_mask(section(), TRUTH, reach=0)
    with pytest.raises(ValueError, match=r"shapes \(72, 64\) and \(64, 72\)"):
        evolve_mask(section(), TRUTH.T)
