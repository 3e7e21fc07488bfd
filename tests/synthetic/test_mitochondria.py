import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from skimage.measure import label, regionprops

from bundle.synthetic.render import paint_section, render
from tests.synthetic.tissue import SHAPE, changed, plain_tissue

PLAIN = plain_tissue()


def rich(**changes):
    return changed(PLAIN, mitochondria={"share": 0.12, **changes})


def paint(style, pixel_size=20.0, seed=0, shape=SHAPE):
    scene, _ = paint_section(style, shape, pixel_size, np.random.default_rng(seed))
    return scene


def whole(instances):
    """Instances that do not touch the edge."""
    height, width = instances.shape
    return [
        region for region in regionprops(instances)
        if min(region.bbox[:2]) > 0 and region.bbox[2] < height and region.bbox[3] < width
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pixel_size", "width"), [(5.0, 250.0), (8.0, 400.0), (20.0, 400.0), (20.0, 900.0), (40.0, 600.0)]
)
def test_a_mitochondrion_of_a_given_width_has_that_width_in_pixels(pixel_size, width):
    side = int(14 * width / pixel_size)
    scene = paint(rich(width=width, long_share=0.0), pixel_size, shape=(side, side))
    widths = []
    for region in whole(scene.instances):
        depth = distance_transform_edt(np.pad(region.image, 1))
        widths.append((2 * depth.max() - 1) * pixel_size)
    assert len(widths) >= 3
    assert max(widths) == pytest.approx(width, abs=1.5 * pixel_size)
    assert np.median(widths) == pytest.approx(width, abs=0.15 * width + 1.5 * pixel_size)


def test_instances_are_the_components_and_keep_a_pixel_apart():
    for seed, pixel_size in ((0, 10.0), (1, 20.0), (2, 40.0)):
        instances = paint(rich(share=0.3, clustering=0.7, clearance=0.0, width=300.0), pixel_size, seed).instances
        parts = label(instances > 0, connectivity=2)
        assert parts.max() == instances.max() > 3
        assert np.array_equal(parts > 0, instances > 0)
        assert all(len(np.unique(instances[parts == number])) == 1 for number in range(1, parts.max() + 1))
        assert set(np.unique(instances)) == set(range(instances.max() + 1))


def test_the_share_of_the_area_is_reached():
    for share in (0.0, 0.05, 0.2):
        found = np.mean([np.mean(paint(rich(share=share), seed=seed).instances > 0) for seed in range(4)])
        assert found == pytest.approx(share, abs=0.05)


def test_long_ones_are_long_and_bend():
    round_ones = whole(paint(rich(long_share=0.0, width=250.0)).instances)
    long_ones = whole(paint(rich(long_share=1.0, width=250.0, length=4000.0, curl=1.0)).instances)
    assert np.mean([r.axis_major_length for r in long_ones]) > 2 * np.mean([r.axis_major_length for r in round_ones])
    assert np.mean([r.solidity for r in long_ones]) < np.mean([r.solidity for r in round_ones])


def test_they_stay_in_their_cells():
    style = changed(rich(width=300.0, long_share=1.0), cells={"size": 900.0})
    scene, cells = paint_section(style, SHAPE, 20.0, np.random.default_rng(0))
    assert cells.depth[scene.instances > 0].min() > 0
    assert all(
        len(np.unique(cells.owner[scene.instances == number])) == 1 for number in range(1, scene.instances.max() + 1)
    )


def test_matrix_walls_and_cristae_have_their_levels():
    bare = paint(rich(cristae_share=0.0), 10.0)
    depth = distance_transform_edt(bare.instances > 0) * 10
    assert bare.canvas[depth > 80].mean() == pytest.approx(0.4, abs=0.03)
    assert bare.canvas[(depth > 0) & (depth < 20)].mean() < 0.35
    for level, darker in ((-0.2, True), (0.2, False)):
        full = paint(rich(cristae_share=1.0, cristae_level=level), 10.0)
        inside = distance_transform_edt(full.instances > 0) * 10 > 80
        assert bool(full.canvas[inside].mean() < 0.38) is darker


def test_swollen_ones_are_light():
    swollen = paint(rich(swollen_share=1.0, cristae_share=0.0), 10.0)
    inside = distance_transform_edt(swollen.instances > 0) * 10 > 80
    assert swollen.canvas[inside].mean() == pytest.approx(0.65, abs=0.04)


def test_branches_make_them_larger_and_less_convex():
    style = {"long_share": 1.0, "width": 200.0, "length": 3000.0, "share": 0.05, "curl": 0.1}
    plain = [r.solidity for s in range(4) for r in whole(paint(rich(**style), seed=s).instances)]
    branched = [r.solidity for s in range(4) for r in whole(paint(rich(**style, branching=1.0), seed=s).instances)]
    assert np.mean(branched) < np.mean(plain) - 0.03


def test_slivers_at_the_edge_are_no_instances():
    for seed in range(10):
        _, instances = render(rich(share=0.3, width=250.0), (64, 64), 20.0, np.random.default_rng(seed))
        assert all(np.bincount(instances.ravel())[1:] >= 4)
