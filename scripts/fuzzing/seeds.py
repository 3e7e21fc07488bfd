"""Sound files to begin with, in parts that are damaged apart: so damage gets past compression and checksums."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from scripts.fuzzing.mutations import mutate

Join = Callable[[Sequence[bytes]], dict[str, bytes]]


class Seed(NamedTuple):
    """A sound input.

    Attributes:
        parts: what it is made of, uncompressed.
        join: puts parts together to the content of each file, by name, so that lengths and checksums are right. The
            file that readers are given comes first.
    """

    parts: list[bytes]
    join: Join

    @property
    def files(self) -> dict[str, bytes]:
        """The sound files."""
        return self.join(self.parts)


def damage(seeds: Sequence[Seed], random: Random, tokens: Sequence[bytes]) -> dict[str, bytes]:
    """Make the input of a case of one of some seeds.

    Args:
        seeds: of one format.
        random: source of chance.
        tokens: words of the format.

    Returns:
        Content of each file, by name; damaged in a part, or, a third of the time, in a file as a whole.
    """
    seed = random.choice(seeds)
    if random.random() < 1 / 3:
        files = seed.files
        name = random.choice(list(files))
        others = [content for other in seeds for content in other.files.values()]
        return files | {name: mutate(files[name], random, tokens, others)}
    parts = list(seed.parts)
    at = random.randrange(len(parts))
    others = [part for other in seeds for part in other.parts]
    parts[at] = mutate(parts[at], random, tokens, others)
    return seed.join(parts)


def plain(name: str, content: bytes) -> Seed:
    """A file of one part."""
    return Seed([content], lambda parts: {name: parts[0]})


def gzipped(name: str, content: bytes) -> Seed:
    """A file that is compressed as a whole."""
    return Seed([content], lambda parts: {name: gzip.compress(parts[0], 1, mtime=0)})


def header_and_data(
    name: str, header: bytes, data: bytes, compress: Callable[[bytes], bytes] = bytes, data_file: str | None = None
) -> Seed:
    """A header and the pixels behind it, or in a file of their own.

    Args:
        name: of the file.
        header: its header.
        data: pixels.
        compress: done to the pixels when they are written.
        data_file: name of the file of the pixels, None for behind the header.
    """

    def join(parts: Sequence[bytes]) -> dict[str, bytes]:
        header, data = parts[0], compress(parts[1])
        return {name: header + data} if data_file is None else {name: header, data_file: data}

    return Seed([header, data], join)


def png_seed(name: str, content: bytes) -> Seed:
    """A PNG in its chunks, whose lengths and checksums are made right; the pixels are damaged uncompressed."""
    chunks, at = [], 8
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        chunks.append(kind + (zlib.decompress(data) if kind == b"IDAT" else data))
        at += length + 12

    def join(parts: Sequence[bytes]) -> dict[str, bytes]:
        out = content[:8]
        for part in parts:
            chunk = part[:4] + (zlib.compress(part[4:], 1) if part[:4] == b"IDAT" else part[4:])
            out += struct.pack(">I", max(len(chunk) - 4, 0)) + chunk + struct.pack(">I", zlib.crc32(chunk))
        return {name: out}

    return Seed(chunks, join)


def zip_seed(name: str, content: bytes, kept: Sequence[str] = ()) -> Seed:
    """A zip file, such as a checkpoint, in its members, whose checksums are made right.

    Args:
        name: of the file.
        content: of the file.
        kept: ends of names of members that are not damaged.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        members = [(info.filename, file.read(info)) for info in file.infolist()]
    fixed = [member for member in members if member[0].endswith(tuple(kept))] if kept else []
    loose = [member for member in members if member not in fixed]

    def join(parts: Sequence[bytes]) -> dict[str, bytes]:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as file:
            for member, data in (*zip((name for name, _ in loose), parts, strict=True), *fixed):
                file.writestr(zipfile.ZipInfo(member), data)
        return {name: out.getvalue()}

    return Seed([data for _, data in loose], join)
