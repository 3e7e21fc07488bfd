from dataclasses import FrozenInstanceError, fields, replace
from functools import lru_cache

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import distance_transform_edt
from skimage.measure import label as components

from bundle.data.image_files import read_image
from bundle.errors import DataError, SettingError
from bundle.synthetic import generator
from bundle.synthetic.generator import generate_image, write_domain
from bundle.synthetic.styles import STYLES

SHAPE = (192, 224)
A, B = STYLES["synthetic-a"], STYLES["synthetic-b"]


@lru_cache
def _images(style, number=4, shape=SHAPE):
    return [generate_image(style, shape, np.random.default_rng(seed)) for seed in range(number)]


@pytest.fixture(scope="module", params=sorted(STYLES))
def images(request):
    return _images(STYLES[request.param])


def _files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _contents(folder):
    return {name: (folder / name).read_bytes() for name in _files(folder)}


def test_arrays_are_rows_by_columns_of_bytes(images):
    for image, label in images:
        assert image.shape == label.shape == SHAPE
        assert image.dtype == label.dtype == np.uint8
        assert set(np.unique(label)) == {0, 255}


def test_foreground_and_instances_are_as_rich_as_real_sections(images):
    share = np.mean([label.mean() / 255 for _, label in images])
    number = np.mean([components(label, connectivity=2).max() for _, label in images])
    assert 0.05 < share < 0.12
    assert 8 <= number <= 16


def test_components_are_the_mitochondria_that_were_painted(monkeypatch):
    painted = []
    paint = generator._paint_mitochondrion
    monkeypatch.setattr(generator, "_paint_mitochondrion", lambda *args: (painted.append(args), paint(*args)))
    for seed in range(2):
        painted.clear()
        _, label = generate_image(replace(A, mito_density=6.0), SHAPE, np.random.default_rng(seed))
        assert components(label, connectivity=2).max() == len(painted) > 15


def test_instances_keep_clear_of_each_other_and_none_is_a_sliver():
    for _, label in _images(replace(B, mito_density=6.0), number=3):
        numbered = components(label, connectivity=2)
        for index in range(1, numbered.max() + 1):
            others = (numbered > 0) & (numbered != index)
            assert distance_transform_edt(~others)[numbered == index].min() > 2 * generator.GAP - 2
            assert (numbered == index).sum() > 50


def test_without_mitochondria_nothing_is_foreground():
    for image, label in _images(replace(A, mito_density=0.0, distractor_density=5.0), number=2):
        assert not label.any()
        assert image.std() > 20


def test_small_images_hold_a_mitochondrion_and_the_smallest_allowed_is_made():
    assert all(label.any() for style in STYLES.values() for _, label in _images(style, number=10, shape=(64, 64)))
    assert generate_image(A, (32, 33), np.random.default_rng(0))[0].shape == (32, 33)


def test_mitochondria_are_darker_than_the_rest(images):
    for image, label in images:
        assert image[label > 0].mean() < image[label == 0].mean() - 20


def test_distractors_are_darker_than_mitochondria_in_the_target_only():
    """The shift that makes a source network miss pale mitochondria and take lysosomes for them."""
    darkest = {}
    for name, style in STYLES.items():
        pairs = _images(replace(style, distractor_density=3.0), number=3)
        inside = np.mean([np.median(image[label > 0]) for image, label in pairs])
        outside = np.mean([np.percentile(image[label == 0], 3) for image, label in pairs])
        darkest[name] = (inside - outside) / np.mean([image.std() for image, _ in pairs])
    assert darkest["synthetic-b"] > 1.0
    assert darkest["synthetic-b"] > darkest["synthetic-a"] + 0.5


def test_target_is_flatter_and_its_mitochondria_are_larger():
    source, target = _images(A), _images(B)
    assert np.mean([i.std() for i, _ in target]) < 0.7 * np.mean([i.std() for i, _ in source])
    sizes = [
        np.mean([(label > 0).sum() / components(label, connectivity=2).max() for _, label in pairs])
        for pairs in (source, target)
    ]
    assert sizes[1] > 1.3 * sizes[0]


def test_same_generator_state_gives_same_image_and_another_seed_another():
    first, again = (generate_image(A, SHAPE, np.random.default_rng(3)) for _ in range(2))
    other = generate_image(A, SHAPE, np.random.default_rng(4))
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert (first[0] != other[0]).mean() > 0.5
    assert not np.array_equal(first[1], other[1])


def test_noise_acts_on_the_picture_and_not_on_the_labels():
    clean, noisy = (generate_image(replace(A, noise=n), SHAPE, np.random.default_rng(0)) for n in (0.0, 0.1))
    assert np.array_equal(clean[1], noisy[1])
    middle = (clean[0] > 80) & (clean[0] < 175)  # far from both ends of the range, where nothing is clipped
    difference = noisy[0].astype(float) - clean[0]
    assert difference[middle].std() == pytest.approx(0.1 * 255, rel=0.05)


def test_contrast_of_zero_is_middle_gray():
    image, label = generate_image(replace(A, contrast=0.0, noise=0.0), SHAPE, np.random.default_rng(0))
    assert set(np.unique(image)) == {128}  # 255 / 2 = 127.5, rounded to even
    assert label.any()


def test_style_is_frozen():
    with pytest.raises(FrozenInstanceError):
        A.noise = 0.0
    assert all(isinstance(getattr(style, field.name), float) for style in STYLES.values() for field in fields(style))


def test_domain_folder_holds_what_was_asked_for(tmp_path):
    folder = write_domain(tmp_path / "new" / "a", "synthetic-a", train=2, test=1, shape=(64, 80))
    assert folder == tmp_path / "new" / "a"
    assert _files(folder) == [
        "test/images/000.png",
        "test/labels/000.png",
        "train/images/000.png",
        "train/images/001.png",
        "train/labels/000.png",
        "train/labels/001.png",
    ]
    for name in _files(folder):
        with Image.open(folder / name) as picture:
            assert picture.mode == "L"
            assert picture.size == (80, 64)


def test_files_are_the_generated_arrays_and_readers_turn_them(tmp_path):
    write_domain(tmp_path, B, train=1, test=1, shape=(64, 80), seed=5)
    image, label = generate_image(B, (64, 80), np.random.default_rng([5, 1, 0]))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "test/images/000.png")), image)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "test/labels/000.png")), label)
    assert np.array_equal(read_image(tmp_path / "test/labels/000.png")[..., 0], label.T)


def test_longer_domain_begins_with_the_shorter_and_splits_differ(tmp_path):
    short = _contents(write_domain(tmp_path / "short", A, train=1, test=1, shape=(64, 64)))
    long = _contents(write_domain(tmp_path / "long", A, train=2, test=1, shape=(64, 64)))
    reseeded = _contents(write_domain(tmp_path / "seed", A, train=1, test=1, shape=(64, 64), seed=1))
    assert {name: long[name] for name in short} == short
    assert len({long[name] for name in long if "images" in name}) == 3
    assert not set(reseeded.values()) & set(short.values())


def test_writing_again_changes_nothing(tmp_path):
    first = _contents(write_domain(tmp_path, A, train=1, test=1, shape=(64, 64)))
    assert _contents(write_domain(tmp_path, A, train=1, test=1, shape=(64, 64))) == first


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    before = _contents(write_domain(tmp_path, A, train=1, test=0, shape=(64, 64)))

    def half(picture, path, format):
        path.write_bytes(b"half a picture")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(OSError, match="disk full"):
        write_domain(tmp_path, B, train=1, test=0, shape=(64, 64))
    assert _contents(tmp_path) == before


def test_default_is_sixteen_and_eight_non_square_images(tmp_path, monkeypatch):
    tiny = np.zeros((2, 2), np.uint8)
    shapes = []
    monkeypatch.setattr(generator, "generate_image", lambda style, shape, rng: (shapes.append(shape), (tiny, tiny))[1])
    write_domain(tmp_path, "synthetic-b")
    assert len(list(tmp_path.glob("train/images/*.png"))) == 16
    assert len(list(tmp_path.glob("test/labels/*.png"))) == 8
    assert set(shapes) == {(192, 224)}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"style": "synthetic-c"}, ["synthetic-c", "synthetic-a", "synthetic-b"]),
        ({"train": -1}, ["train", "-1"]),
        ({"test": -2}, ["test", "-2"]),
        ({"seed": -3}, ["seed", "-3"]),
        ({"shape": (192, 31)}, ["(192, 31)", "32"]),
        ({"shape": (192,)}, ["(192,)", "(H, W)"]),
    ],
)
def test_refusals_name_the_value_and_write_nothing(tmp_path, options, words):
    with pytest.raises(SettingError) as caught:
        write_domain(tmp_path, **({"style": "synthetic-a", "train": 1, "test": 1} | options))
    assert all(word in str(caught.value) for word in words)
    assert list(tmp_path.iterdir()) == []


def test_images_of_a_longer_domain_are_not_mixed_with_new_ones(tmp_path):
    before = _contents(write_domain(tmp_path, A, train=2, test=0, shape=(64, 64)))
    with pytest.raises(DataError, match=r"001\.png"):
        write_domain(tmp_path, B, train=1, test=0, shape=(64, 64))
    assert _contents(tmp_path) == before
