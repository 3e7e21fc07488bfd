import numpy as np
import pytest

from bundle.preferences.candidates.comparison import disputed
from bundle.preferences.questions.regions import region_box, split_regions


def two_masks(shape: tuple[int, int], *pixels: tuple[int, int]) -> np.ndarray:
    """An empty mask, and one with these pixels."""
    masks = np.zeros((2, *shape), dtype=bool)
    for pixel in pixels:
        masks[1][pixel] = True
    return masks


def test_image_is_one_region() -> None:
    found = split_regions("image", two_masks((5, 3)))
    assert found.dtype == np.int32
    assert (found == 0).all() and found.shape == (5, 3)


def test_grid_is_numbered_row_by_row_with_smaller_squares_at_the_border() -> None:
    found = split_regions("grid:2", two_masks((5, 3)))
    assert found.T.tolist() == [[0, 0, 1, 1, 2], [0, 0, 1, 1, 2], [3, 3, 4, 4, 5]]
    assert found.dtype == np.int32


def test_grid_larger_than_the_image() -> None:
    assert (split_regions("grid:32", two_masks((5, 3))) == 0).all()


@pytest.mark.parametrize("gap", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("direction", [(1, 0), (0, 1), (1, 1), (1, -1)])
def test_components_close_gaps_of_just_so_many_pixels(gap: int, direction: tuple[int, int]) -> None:
    def count(between: int) -> int:
        step = between + 1
        other = (10 + step * direction[0], 10 + step * direction[1])
        found = split_regions(f"components:{gap}", two_masks((21, 22), (10, 10), other))
        return int(found.max()) + 1

    assert count(gap) == 1
    assert count(gap + 1) == 2


def test_components_hold_only_disputed_pixels() -> None:
    masks = two_masks((9, 9), (1, 1), (1, 3), (7, 7))
    masks[:, 4, 4] = True
    found = split_regions("components:2", masks)
    assert found.dtype == np.int32
    assert found[1, 1] == found[1, 3] == 0 and found[7, 7] == 1
    assert ((found >= 0) == disputed(masks)).all()


def test_components_at_the_border() -> None:
    found = split_regions("components:3", two_masks((9, 9), (8, 0), (8, 4), (0, 0)))
    assert found[8, 0] == found[8, 4] != found[0, 0]


def with_instances(shape: tuple[int, int]) -> np.ndarray:
    """Three candidates with two instances that all agree on; the majority has no corners, so 12 pixels of each."""
    masks = np.zeros((3, *shape), dtype=bool)
    masks[:, 2:6, 2:6] = masks[:, 10:14, 2:6] = True
    return masks


def test_objects_are_the_disagreement_with_the_instances_that_it_touches() -> None:
    masks = with_instances((20, 20))
    masks[2, 6, 3:5] = True  # beside the first instance
    masks[0, 10:14, 5] = False  # a part of the second
    masks[1, 16:18, 16:18] = True  # an object that one candidate alone has
    found = split_regions("objects:0", masks)
    assert found.dtype == np.int32 and found.max() == 2
    first, second, third = (np.argwhere(found == number) for number in range(3))
    assert (first.min(0).tolist(), first.max(0).tolist(), len(first)) == ([2, 2], [6, 5], 12 + 2)
    assert (second.min(0).tolist(), second.max(0).tolist(), len(second)) == ([10, 2], [13, 5], 12 + 2)
    assert (third.min(0).tolist(), third.max(0).tolist()) == ([16, 16], [17, 17])
    assert (found[disputed(masks)] >= 0).all()


def test_instances_that_a_disagreement_joins_are_one_object() -> None:
    masks = with_instances((20, 20))
    masks[2, 6:10, 4] = True
    found = split_regions("objects:0", masks)
    assert found.max() == 0 and (found == 0).sum() == 12 + 12 + 4


def test_instances_without_disagreement_are_no_objects() -> None:
    masks = with_instances((20, 20))
    masks[2, 8, 12] = True
    assert (split_regions("objects:3", masks) >= 0).sum() == 1
    assert (split_regions("objects:3", with_instances((20, 20))) == -1).all()


def test_objects_close_gaps_of_just_so_many_pixels() -> None:
    masks = with_instances((20, 20))
    masks[2, 9, 12] = masks[2, 12, 12] = True
    assert [split_regions(f"objects:{gap}", masks).max() + 1 for gap in (1, 2)] == [2, 1]


def test_candidates_that_agree_have_no_components() -> None:
    assert (split_regions("components:3", np.ones((3, 4, 4), dtype=bool)) == -1).all()


@pytest.mark.parametrize(
    "region_split",
    [
        "",
        "grid",
        "grid:",
        "grid:0",
        "grid:-3",
        "grid:1.5",
        "components",
        "objects",
        "images",
        "Image",
        "grid:8 ",
        "x:3",
        "grid:³",
    ],
)
def test_other_texts_are_refused(region_split: str) -> None:
    with pytest.raises(ValueError, match=r"expected image, grid:SIZE .* components:GAP or objects:GAP"):
        split_regions(region_split, two_masks((4, 4)))


def test_box() -> None:
    region = np.zeros((6, 9), dtype=bool)
    region[1, 5] = region[3, 2] = True
    assert region_box(region) == (1, 2, 4, 6)
    assert all(type(side) is int for side in region_box(region))


def test_no_pixel_has_no_box() -> None:
    with pytest.raises(ValueError, match="without pixels"):
        region_box(np.zeros((3, 3), dtype=bool))
