from dataclasses import fields, is_dataclass

import numpy as np

from bundle.synthetic.random_style import TISSUES, random_style

STYLES = [random_style(np.random.default_rng(seed)) for seed in range(300)]


def numbers(style, prefix=""):
    """Every number of a style by its name."""
    found = {}
    for field in fields(style):
        value = getattr(style, field.name)
        if is_dataclass(value):
            found |= numbers(value, f"{field.name}.")
        elif field.name != "tissue":
            found[prefix + field.name] = value
    return found


def test_the_same_seed_gives_the_same_style_and_another_seed_another():
    assert random_style(np.random.default_rng(7)) == STYLES[7]
    assert len({style.cells.size for style in STYLES}) == len(STYLES)


def test_every_kind_of_tissue_is_drawn():
    assert {style.tissue for style in STYLES} == set(TISSUES)
    assert sum(TISSUES.values()) == 1


def test_every_number_varies_and_is_finite():
    drawn = [numbers(style) for style in STYLES]
    for name in drawn[0]:
        values = [each[name] for each in drawn]
        assert np.isfinite(values).all(), name
        assert np.std(values) > 0, name


def test_ranges_are_those_of_mitochondria_and_of_gray_levels():
    for style in STYLES:
        mitochondria = style.mitochondria
        assert 150 <= mitochondria.width <= 1500
        for level in (style.cells.membrane_level, mitochondria.level, mitochondria.wall_level, style.cells.gap_level):
            assert 0 <= level <= 1
    assert max(style.mitochondria.length for style in STYLES) > 3000
    darker = [style.mitochondria.level < style.cells.level for style in STYLES]
    dark_cristae = [style.mitochondria.cristae_level < 0 for style in STYLES]
    assert 0.85 < np.mean(darker) < 1
    assert 0.3 < np.mean(dark_cristae) < 0.7
