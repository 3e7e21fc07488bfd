import hashlib
import json
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from bundle.errors import DataError
from bundle.preferences.candidates.files import (
    CandidateSet,
    file_sha256,
    mask_sha256,
    read_candidates,
    write_candidates,
)


@pytest.fixture
def candidates() -> CandidateSet:
    """7 x 5 pixels, so that no row ends with a byte."""
    random = np.random.default_rng(0)
    return CandidateSet(
        image="images/a.png",
        image_sha256="ab" * 32,
        masks=random.random((3, 7, 5)) < 0.4,
        made=["teacher", "threshold 0.7", "évolué"],
        probability=random.random((7, 5), dtype=np.float32),
        model="cd" * 32,
    )


def test_round_trip(tmp_path, candidates):
    write_candidates(tmp_path / "a.npz", candidates)
    read = read_candidates(tmp_path / "a.npz")
    assert read.masks.dtype == bool
    np.testing.assert_array_equal(read.masks, candidates.masks)
    assert read.probability.dtype == np.float32
    np.testing.assert_allclose(read.probability, candidates.probability, rtol=0, atol=0.5 / 255 + 1e-6)
    assert (read.image, read.image_sha256, read.made, read.model) == (
        candidates.image,
        candidates.image_sha256,
        candidates.made,
        candidates.model,
    )
    assert read.sha256 == candidates.sha256


def test_a_mask_takes_a_bit_a_pixel(tmp_path, candidates):
    noise = np.random.default_rng(1).random((8, 128, 128)) < 0.5
    large = replace(candidates, masks=noise, made=["noise"] * 8, probability=np.zeros((128, 128), np.float32))
    write_candidates(tmp_path / "a.npz", large)
    assert (tmp_path / "a.npz").stat().st_size < 1.1 * noise.size / 8


def test_ends_of_the_probability_are_exact(tmp_path, candidates):
    ends = np.zeros((7, 5), np.float32)
    ends[3:] = 1
    write_candidates(tmp_path / "a.npz", replace(candidates, probability=ends))
    np.testing.assert_array_equal(read_candidates(tmp_path / "a.npz").probability, ends)


def test_written_whole_or_not_at_all(tmp_path, candidates, monkeypatch):
    path = tmp_path / "a.npz"
    write_candidates(path, candidates)
    before = path.read_bytes()

    def fail(file, **arrays):
        file.write(b"half of it")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        write_candidates(path, replace(candidates, model="other"))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": np.zeros((3, 7, 5), np.uint8)}, "masks are uint8"),
        ({"masks": np.zeros((7, 5), bool)}, r"shape \(7, 5\)"),
        ({"masks": np.zeros((3, 5, 7), bool)}, "probability has shape"),
        ({"probability": np.full((7, 5), 1.1, np.float32)}, r"leaves \[0, 1\]"),
        ({"probability": np.full((7, 5), np.nan, np.float32)}, "not finite"),
        ({"made": ["teacher", "student"]}, "3 masks"),
        ({"model": ""}, "model"),
    ],
)
def test_refuses_to_write_what_is_no_set(tmp_path, candidates, change, message):
    with pytest.raises(ValueError, match=message):
        write_candidates(tmp_path / "a.npz", replace(candidates, **change))
    assert not list(tmp_path.iterdir())


def rewritten(path, about=None, **arrays):
    with np.load(path) as file:
        content = dict(file)
    content["about"] = np.array(json.dumps(json.loads(content["about"].item()) | (about or {})))
    with path.open("wb") as file:
        np.savez_compressed(file, **(content | arrays))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"about": {"shape": [3, 7, 50]}}, "132 bytes"),
        ({"about": {"shape": [3, 7]}}, "its shape"),
        ({"about": {"shape": [-3, -7, 5]}}, "its shape"),
        ({"about": {"shape": None}}, "its shape"),
        ({"about": {"version": 2}}, "version 2, expected 1"),
        ({"about": {"made": "teacher"}}, "made"),
        ({"about": {"image": None}}, "image is None"),
        ({"masks": np.zeros(14)}, "masks are float64"),
        ({"probability": np.zeros((5, 7), np.uint8)}, "probability has shape"),
        ({"probability": np.zeros((7, 5))}, "probability is float64"),
        ({"about": {}, "masks": np.array([None])}, "no file of candidates"),
    ],
)
def test_refuses_malformed_content(tmp_path, candidates, change, message):
    path = tmp_path / "a.npz"
    write_candidates(path, candidates)
    rewritten(path, **change)
    with pytest.raises(DataError, match=message) as error:
        read_candidates(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_refuses_damaged_and_foreign_files(tmp_path, candidates):
    path = tmp_path / "a.npz"
    with pytest.raises(DataError, match="no such file"):
        read_candidates(path)
    write_candidates(path, candidates)
    whole = path.read_bytes()
    foreign = tmp_path / "foreign.npz"
    np.savez(foreign, masks=np.zeros(3))
    one_array = tmp_path / "one.npy"
    np.save(one_array, np.zeros(3))
    contents = [b"", b"text", whole[: len(whole) // 2], foreign.read_bytes(), one_array.read_bytes()]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(DataError, match="no file of candidates"):
            read_candidates(path)


def test_no_damaged_byte_changes_a_mask_unnoticed(tmp_path, candidates):
    path = tmp_path / "a.npz"
    write_candidates(path, candidates)
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            read = read_candidates(path)
        except DataError:
            continue
        assert read.sha256 == candidates.sha256


def test_mask_hash_by_hand():
    mask = np.array([[1, 0, 1], [0, 0, 0], [0, 0, 1]], bool)
    assert mask_sha256(mask) == hashlib.sha256(b"3x3:" + bytes([0b10100000, 0b10000000])).hexdigest()


def test_mask_hash_covers_shape_and_content_and_nothing_else(candidates):
    mask = candidates.masks[0]
    assert mask_sha256(mask) == mask_sha256(mask.astype(np.uint8) * 255) == mask_sha256(np.asfortranarray(mask))
    flipped = mask.copy()
    flipped[-1, -1] ^= True
    others = [flipped, mask.T, mask.reshape(5, 7), np.pad(mask, ((0, 0), (0, 1)))]
    assert len({mask_sha256(other) for other in (mask, *others)}) == 5
    with pytest.raises(ValueError, match="expected"):
        mask_sha256(candidates.masks)


def test_file_hash(tmp_path):
    content = bytes(range(256)) * 8200  # more than two blocks
    (tmp_path / "a.png").write_bytes(content)
    assert file_sha256(tmp_path / "a.png") == hashlib.sha256(content).hexdigest()
    os.mkfifo(tmp_path / "fifo.png")  # opened without care it would wait for a writer
    for path, problem in ((tmp_path, "no regular"), (tmp_path / "b.png", "no such"), (tmp_path / "fifo.png", "no reg")):
        with pytest.raises(DataError, match=problem):
            file_sha256(path)


@pytest.mark.parametrize("member", ["about", "masks", "probability"])
def test_a_member_that_is_no_array(tmp_path, candidates, member):
    write_candidates(tmp_path / "a.npz", candidates)
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for name, content in members.items():
            file.writestr(name, b"no array" if name == f"{member}.npy" else content)
    with pytest.raises(DataError, match=r"a\.npz: .*make the candidates again"):
        read_candidates(tmp_path / "a.npz")


def test_a_file_that_would_fill_the_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file, file.open("masks.npy", "w") as member:
        for _ in range(129):
            member.write(bytes(1 << 20))
    assert (tmp_path / "a.npz").stat().st_size < 1 << 18
    with pytest.raises(DataError, match=r"a\.npz: takes 135266304 bytes when it is unpacked, more than 134217728"):
        read_candidates(tmp_path / "a.npz")
