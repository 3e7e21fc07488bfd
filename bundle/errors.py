"""Errors that a person can mend: what was given and cannot be used, and what cannot be written."""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)

LONGEST = 1000
"""Characters of a message."""


class DataError(ValueError):
    """A file, folder or number given by the user is missing, malformed or contradictory; the message names it.

    Messages quote what files hold. So that each stays one line that any terminal, log and page can show, line breaks,
    control codes and other letters that cannot be printed are written as escapes, and a long message lacks its middle.

    Args:
        message: one line.
    """

    def __init__(self, message: object = "") -> None:
        text = "".join(letter if letter.isprintable() else escape(letter) for letter in str(message))
        if len(text) > LONGEST:
            text = f"{text[: LONGEST - 300]} ... {text[-295:]}"
        super().__init__(text)


class StorageError(DataError):
    """Nothing could be written: the disk is full, read-only or over quota."""


def is_full(error: OSError) -> bool:
    """Whether nothing could be written because the disk is full, read-only or over quota, or a file too large."""
    return error.errno in FULL


class DivergedError(ValueError):
    """A training whose losses, gradients or weights are no longer finite; the message says where and at which rate."""


def escape(letter: str) -> str:
    """A letter as Python writes it in ASCII, without quotes."""
    return letter.encode("unicode_escape").decode("ascii")
