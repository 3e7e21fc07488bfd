"""Files of candidate masks, and the hashes by which a judgement refers to them."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.atomic import replacing
from bundle.data.image_headers import open_regular
from bundle.errors import DataError
from bundle.json_files import parse_json

VERSION = 1
LARGEST = 1 << 27
"""Largest unpacked part of a file in bytes: masks of a thousand million pixels."""
TEXTS = ("image", "image_sha256", "model")


@dataclass(frozen=True, eq=False)
class CandidateSet:
    """The candidate masks of one image.

    Attributes:
        image: path of the image, as the datalist spells it.
        image_sha256: hash of the image's file, see :func:`file_sha256`.
        masks: (K,X,Y) bool.
        made: how each mask was made, K texts.
        probability: (X,Y) float32 in [0,1], the model's own foreground probability.
        model: sha256 of the state of the checkpoint that made them.
    """

    image: str
    image_sha256: str
    masks: NDArray[np.bool_]
    made: list[str]
    probability: NDArray[np.float32]
    model: str

    @cached_property
    def sha256(self) -> tuple[str, ...]:
        """Hash of each mask, see :func:`mask_sha256`."""
        return tuple(mask_sha256(mask) for mask in self.masks)


def write_candidates(path: str | Path, candidates: CandidateSet) -> None:
    """Write the candidates of an image as a compressed npz file, atomically.

    A mask takes one bit a pixel. The probability is rounded to steps of 1/255.

    Args:
        path: file to write, of any suffix; its folder must exist.
        candidates: what to write.

    Raises:
        ValueError: shapes, types or ranges are not those of a :class:`CandidateSet`.
    """
    problem = _problem(candidates)
    if problem:
        raise ValueError(f"{path}: not written, for {problem}")
    about = {name: getattr(candidates, name) for name in TEXTS}
    about |= {"version": VERSION, "shape": candidates.masks.shape, "made": candidates.made}
    with replacing(Path(path)) as partial, partial.open("wb") as file:  # given a name, numpy would add .npz to it
        np.savez_compressed(
            file,
            about=np.array(json.dumps(about)),
            masks=np.packbits(candidates.masks),
            probability=np.rint(candidates.probability * 255).astype(np.uint8),
        )


def read_candidates(path: str | Path) -> CandidateSet:
    """Read a file of :func:`write_candidates`.

    Args:
        path: the file.

    Returns:
        The candidates.

    Raises:
        DataError: the file is missing, damaged or too large when it is unpacked, or is no file of candidates.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            largest = max((member.file_size for member in packed.infolist()), default=0)
        if largest > LARGEST:
            raise DataError(
                f"{path}: takes {largest} bytes when it is unpacked, more than {LARGEST}; make candidates of smaller "
                "images, or fewer"
            )
        with np.load(path, allow_pickle=False) as file:
            about = parse_json(file["about"].item())
            # a member that is no array comes as bytes
            bits, probability = np.asarray(file["masks"]), np.asarray(file["probability"])
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; make the candidates first") from None
    except Exception as error:  # zip, zlib, JSON and numpy errors have no class in common
        raise DataError(f"{path}: no file of candidates ({type(error).__name__}); make the candidates again") from None
    if not isinstance(about, dict) or about.get("version") != VERSION:
        found = about.get("version") if isinstance(about, dict) else about
        raise DataError(f"{path}: candidates of version {found!r}, expected {VERSION}; make the candidates again")
    try:
        masks = _unpack(bits, about["shape"])
        texts = {name: about[name] for name in TEXTS}
        if probability.dtype != np.uint8:
            raise ValueError(f"its probability is {probability.dtype}, expected uint8")
        candidates = CandidateSet(
            masks=masks, made=about["made"], probability=probability.astype(np.float32) / np.float32(255), **texts
        )
        problem = _problem(candidates)
    except KeyError as error:
        problem = f"{error} is missing"
    except ValueError as error:
        problem = str(error)
    if problem:
        raise DataError(f"{path}: malformed, for {problem}; make the candidates again")
    return candidates


def mask_sha256(mask: NDArray[Any]) -> str:
    """Hash a mask by its shape and content, whatever its type or order in memory.

    Args:
        mask: (X,Y), foreground where it is not 0.

    Returns:
        sha256 as 64 hexadecimal digits.

    Raises:
        ValueError: the mask has not two axes.
    """
    if mask.ndim != 2:
        raise ValueError(f"a mask of shape {mask.shape} cannot be hashed; expected (X, Y)")
    shape = "{}x{}:".format(*mask.shape)  # the packed bits alone do not say how long a row is
    return hashlib.sha256(shape.encode() + np.packbits(mask != 0).tobytes()).hexdigest()


def file_sha256(path: str | Path) -> str:
    """Hash the content of a file.

    Args:
        path: the file.

    Returns:
        sha256 as 64 hexadecimal digits.

    Raises:
        DataError: it cannot be read, or is no regular file.
    """
    digest = hashlib.sha256()
    try:
        with open_regular(path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name a file that is there") from None
    return digest.hexdigest()


def _unpack(bits: NDArray[Any], shape: Any) -> NDArray[np.bool_]:
    """Masks (K,X,Y) from their packed bits."""
    whole = isinstance(shape, list) and all(type(size) is int and size > 0 for size in shape)
    if not whole or len(shape) != 3:
        raise ValueError(f"its shape {shape} is not that of K masks of X by Y pixels")
    count = shape[0] * shape[1] * shape[2]
    if bits.dtype != np.uint8 or bits.shape != ((count + 7) // 8,):
        raise ValueError(f"its masks are {bits.dtype} of shape {bits.shape}, expected {(count + 7) // 8} bytes")
    masks: NDArray[np.bool_] = np.unpackbits(bits, count=count).astype(bool).reshape(shape)
    return masks


def _problem(candidates: CandidateSet) -> str | None:
    """Say what is wrong with a set, or return None."""
    masks, probability, made = candidates.masks, candidates.probability, candidates.made
    if masks.dtype != np.bool_ or masks.ndim != 3 or masks.size == 0:
        return f"its masks are {masks.dtype} of shape {masks.shape}, expected bool (K, X, Y)"
    if probability.shape != masks.shape[1:]:
        return f"its probability has shape {probability.shape}, expected {masks.shape[1:]} like the masks"
    if not np.all((probability >= 0) & (probability <= 1)):
        return "its probability leaves [0, 1] or is not finite"
    if not isinstance(made, list) or len(made) != len(masks) or not all(isinstance(text, str) for text in made):
        return f"made is {made!r}, expected one text for each of its {len(masks)} masks"
    for name in TEXTS:
        if not isinstance(getattr(candidates, name), str) or not getattr(candidates, name):
            return f"{name} is {getattr(candidates, name)!r}, expected a text"
    return None
