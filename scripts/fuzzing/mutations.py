"""Damage to bytes: what storage, transfer, other programs and attackers do to files."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from random import Random

LARGEST = 1 << 18
"""Bytes of a mutated part."""
INTERESTING = (0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 127, 128, 255, 256, 1000, 4096, 32767, 32768, 65535, 65536, 100000)
EXTREMES = (2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
DECIMALS = (
    *(b"%d" % number for number in (*INTERESTING, *EXTREMES)),
    *(
        b"-1 -2 -0 0.5 0.0 1e-320 1e308 1e400 -1e400 nan -nan inf -inf 0x10 010 1,5 99999999999999999999 %d %s %n"
    ).split(),
    b"",
    b"1 2",
    b"9" * 400,
)
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def mutate(data: bytes, random: Random, tokens: Sequence[bytes] = (), others: Sequence[bytes] = ()) -> bytes:
    """Damage data in one to eight places.

    Args:
        data: sound data.
        random: source of chance.
        tokens: words of the format.
        others: other sound data of the format, from which parts are taken.

    Returns:
        The damaged data.
    """
    while True:
        ways = [*WAYS]
        if tokens:
            ways += [lambda d, r: insert_token(d, r, tokens)] * 3
        if others:
            ways.append(lambda d, r: splice(d, r, others))
        data = random.choice(ways)(data, random)[:LARGEST]
        if random.random() < 0.5:
            return data


def flip_bit(data: bytes, random: Random) -> bytes:
    """Turn a bit over."""
    if not data:
        return data
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :]


def set_byte(data: bytes, random: Random) -> bytes:
    """Change a byte."""
    at = random.randrange(len(data) + 1)
    return data[:at] + bytes([random.choice((0, 1, 127, 128, 255, random.randrange(256)))]) + data[at + 1 :]


def insert(data: bytes, random: Random) -> bytes:
    """Put in random bytes, or one byte many times."""
    at, count = random.randrange(len(data) + 1), random.choice((1, 2, 4, 16, 300))
    new = random.randbytes(count) if random.random() < 0.5 else bytes([random.randrange(256)]) * count
    return data[:at] + new + data[at:]


def delete(data: bytes, random: Random) -> bytes:
    """Take some bytes out."""
    at = random.randrange(len(data) + 1)
    return data[:at] + data[at + random.choice((1, 2, 4, 16, 300)) :]


def truncate(data: bytes, random: Random) -> bytes:
    """End early."""
    return data[: random.randrange(len(data) + 1)]


def copy_block(data: bytes, random: Random) -> bytes:
    """Repeat a part elsewhere, over what is there or before it."""
    start, at = random.randrange(len(data) + 1), random.randrange(len(data) + 1)
    block = data[start : start + random.randint(1, 64)]
    return data[:at] + block + data[at + (len(block) if random.random() < 0.5 else 0) :]


def write_number(data: bytes, random: Random) -> bytes:
    """Write a number of interest as a field of 1, 2, 4 or 8 bytes, or a float, mostly where one would begin."""
    code = random.choice("BHIQfd")
    size = struct.calcsize(f"<{code}")
    if code in "fd":
        number: float = random.choice((0.0, -0.0, -1.0, 1e-30, 1e30, float("nan"), float("inf"), float("-inf")))
    else:
        number = random.choice((*INTERESTING, *EXTREMES, -1, -2)) % (1 << 8 * size)
    at = random.randrange(len(data) + 1)
    if random.random() < 0.7:
        at -= at % size
    return data[:at] + struct.pack(random.choice("<>") + code, number) + data[at + size :]


def rewrite_decimal(data: bytes, random: Random) -> bytes:
    """Replace a number in a text."""
    found = list(NUMBER.finditer(data))
    if not found:
        return write_number(data, random)
    place = random.choice(found)
    return data[: place.start()] + random.choice(DECIMALS) + data[place.end() :]


def change_lines(data: bytes, random: Random) -> bytes:
    """Drop, repeat or move a line, or end the lines in another way."""
    lines = data.split(b"\n")
    if len(lines) < 3:
        return delete(data, random)
    way, at = random.randrange(4), random.randrange(len(lines))
    if way == 0:
        del lines[at]
    elif way == 1:
        lines.insert(random.randrange(len(lines)), lines[at])
    elif way == 2:
        lines[at], lines[at - 1] = lines[at - 1], lines[at]
    else:
        return random.choice((b"\r\n", b"\r", b"\n\n", b" ")).join(lines)
    return b"\n".join(lines)


def insert_token(data: bytes, random: Random, tokens: Sequence[bytes]) -> bytes:
    """Write a word of the format: at a place, over what is there, as a line, as the value of a line, or for its name.

    ``NDims = 3`` takes the place of a line that begins with ``NDims =``, if there is one.
    """
    token, at, way = random.choice(tokens), random.randrange(len(data) + 1), random.randrange(8)
    name, mark, _ = token.partition(b"=" if b"=" in token else b":")
    if mark and way > 3:
        line = data.find(name + mark)
        return data if line < 0 else data[:line] + token + data[end_of_line(data, line) :]
    if way % 4 == 0:
        return data[:at] + token + data[at:]
    if way % 4 == 1:
        return data[:at] + token + data[at + len(token) :]
    line = data.rfind(b"\n", 0, at) + 1
    end = end_of_line(data, line)
    if way % 4 == 2:
        return data[:line] + token + (b"" if token.endswith(b"\n") else b"\n") + data[line:]
    value = max(data.find(mark, line, end) for mark in (b"=", b":"))
    return data[: line if value < 0 else value + 1] + b" " + token + data[end:]


def end_of_line(data: bytes, start: int) -> int:
    """Where the line ends that begins at ``start``."""
    end = data.find(b"\n", start)
    return len(data) if end < 0 else end


def splice(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Begin as one and end as another."""
    other = random.choice(others)
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


WAYS: tuple[Callable[[bytes, Random], bytes], ...] = (
    flip_bit,
    set_byte,
    insert,
    delete,
    truncate,
    copy_block,
    write_number,
    write_number,
    rewrite_decimal,
    rewrite_decimal,
    change_lines,
)
