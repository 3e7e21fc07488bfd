"""Files of tensors: read within limits on content and size, written atomically."""

from __future__ import annotations

import hashlib
import pickletools
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import torch

from bundle.atomic import make_folder, replacing, sync
from bundle.errors import DataError, StorageError

PLAIN = frozenset(
    {
        "collections.OrderedDict",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_tensor_v2",
        *(f"torch.{kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16")),
        *(f"torch.{kind}Storage" for kind in ("Long", "Int", "Short", "Char", "Byte", "Bool")),
    }
)
"""Classes and functions that a file of dense real tensors and plain containers names."""

MAX_STRUCTURE = 2 * 2**20
"""Largest pickle in bytes (names and shapes): reading takes up to a hundred times as much memory. Ours have 0.2 MiB."""

MAX_DEPTH = 16
"""Deepest nesting of containers."""

LARGEST = torch.finfo(torch.float32).max
LARGEST_WEIGHT = 1e8
"""Largest magnitude of a weight. Products of larger ones overflow single precision: their training diverged."""


def read_state(path: Path, also: Collection[str] = ()) -> Any:
    """Read a file of dense, real tensors and plain containers to the CPU.

    ``torch.load`` with ``weights_only`` runs no code of the file, but it unpacks as much as the file says, and makes
    sparse, quantised or complex tensors, which networks cannot use. So the file is checked first: its entries are
    not compressed, as ``torch.save`` writes them, and together no larger than the file; its pickles are short and name
    nothing but `PLAIN`.

    Args:
        path: file that ``torch.save`` wrote.
        also: further classes and functions that its pickle may name.

    Returns:
        Its content, which takes about as much memory as the file has bytes. Values may be infinite or NaN, see
        :func:`first_spoilt`.

    Raises:
        DataError: it cannot be read, or holds something else.
    """
    try:
        strange = _first_strange(path, PLAIN | set(also))
        state = None if strange else torch.load(path, map_location="cpu", weights_only=True)
        strange = strange or _first_overlapping(state)
    except Exception as error:  # zip, pickle and torch errors have no class in common
        raise DataError(f"{path}: no checkpoint that torch can read ({type(error).__name__}); name another") from error
    if strange:
        raise DataError(
            f"{path}: holds {printable(strange)}, expected plain dense tensors of real numbers; name a file that a "
            "training wrote"
        )
    return state


def write_state(state: Any, path: Path, again: str = "", beside: Mapping[Path, str] = MappingProxyType({})) -> None:
    """Write with ``torch.save``, atomically.

    Args:
        state: tensors and plain containers.
        path: the file; its folder is made.
        again: how to run it again when the disk is full, such as ``with --resume True``.
        beside: texts of further files, by path in the same folder. All are on the disk before the first takes its
            place, the state last: where it is, they are too, and a full disk changes none.

    Raises:
        DataError: a tensor or number is infinite or NaN. The old file stays.
        StorageError: it cannot be written. The old file stays.
    """
    spoilt = first_spoilt(state)
    if spoilt:
        raise DataError(f"{path}: not written, for {spoilt}; the file there stays as it was")
    make_folder(path.parent)
    try:
        # torch opens files by itself too, but then does not say why it could not write
        with ExitStack() as files:
            partial = files.enter_context(replacing(path))
            with partial.open("wb") as file:
                torch.save(state, file)
            sync(partial)
            for other, text in beside.items():
                files.enter_context(replacing(other)).write_text(text, encoding="utf-8")
    except StorageError as error:
        raise StorageError(f"{error} {again}".rstrip()) from None


def first_spoilt(state: Any, largest: float = LARGEST) -> str | None:
    """Find a number that is not finite or too large.

    Args:
        state: tensors and numbers in plain containers.
        largest: largest magnitude allowed.

    Returns:
        Name and value, such as ``decoder.weight holds nan``; None if all are finite and within ``largest``.
    """
    for name, value in _leaves(state):
        if isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel():
            low, high = value.detach().aminmax()
            if not (-largest <= low.item() and high.item() <= largest):
                flat = value.detach().flatten()
                return f"{printable(name)} holds {flat[~(flat.abs() <= largest)][0].item():g}"
        elif isinstance(value, float) and not abs(value) <= largest:
            return f"{printable(name)} is {value:g}"
    return None


def state_sha256(state: Mapping[str, torch.Tensor]) -> str:
    """Fingerprint of a network's weights.

    Args:
        state: the network's state dict.

    Returns:
        SHA-256 over names and values, hexadecimal.
    """
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def printable(text: object) -> str:
    """A name from a file, made fit for a one-line message: short, without control characters."""
    return "".join(c if c.isprintable() else "?" for c in str(text)[:120])


def _first_strange(path: Path, names: Collection[str]) -> str | None:
    """Check a file by what its pickles are made of; raise ValueError where it is none of ``torch.save``'s."""
    with path.open("rb") as file:
        if file.read(4) == b"PK\x03\x04":  # how torch tells
            return _first_strange_in_zip(path, names)
        file.seek(0)
        # the form before torch 1.6: a mark, a version, the system, the content and a list, then the numbers
        found = (_first_other(file, names) for _ in range(5))
        return next((name for name in found if name is not None), None)


def _first_strange_in_zip(path: Path, names: Collection[str]) -> str | None:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        # torch finds entries whatever their case
        pickles = [entry for entry in entries if entry.orig_filename.lower().endswith(".pkl")]
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("compressed")
        if sum(entry.file_size for entry in entries) > path.stat().st_size or not pickles:
            raise ValueError("sizes that are not its own")
        for entry in pickles:
            with archive.open(entry) as file:
                found = _first_other(file, names)
            if found is not None:
                return found
    return None


def _first_other(file: IO[bytes], names: Collection[str]) -> str | None:
    """The first class or function that a pickle names besides ``names``, or None; nothing of it is run."""
    start = file.tell()
    for opcode, argument, position in pickletools.genops(file):
        if (position or 0) - start > MAX_STRUCTURE:
            raise ValueError("too much structure")
        name = str(argument).replace(" ", ".") if opcode.name == "GLOBAL" else None
        if opcode.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
            name = f"the opcode {opcode.name}"  # torch writes none of these
        if name is not None and name not in names:
            return name
    return None


def _first_overlapping(state: Any) -> str | None:
    """Name a tensor that has more elements than are stored, or None: to read it all takes more than the file's size."""
    for name, value in _leaves(state):
        if isinstance(value, torch.Tensor) and value.nbytes > value.untyped_storage().nbytes():
            return f"{name}, of which only a part is stored"
    return None


def _leaves(state: Any) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested containers with their path of keys; each container once."""
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), state)]
    seen: set[int] = set()
    while waiting:
        keys, value = waiting.pop()
        if not isinstance(value, Mapping | list | tuple):
            yield ".".join(map(str, keys)), value
        elif id(value) not in seen:
            if len(keys) > MAX_DEPTH:
                raise ValueError("too deeply nested")
            seen.add(id(value))
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            waiting.extend(reversed([((*keys, key), inner) for key, inner in items]))
