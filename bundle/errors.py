"""Errors that a person can mend: what was given and cannot be used, and what cannot be written."""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)

LONGEST = 1000
"""Characters of a message."""


class MendableError(ValueError):
    """What a person can mend: the one kind of error that is told in one line, without a traceback.

    Raise a :class:`DataError` or a :class:`SettingError`. A ``ValueError`` of any other class, such as those of numpy
    and torch, may be a fault of the program, and is shown with its traceback.

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


class DataError(MendableError):
    """A file, a folder or what one holds is missing, malformed or contradictory; the message names it."""


class SettingError(MendableError):
    """A setting cannot be: an id of a configuration, an option of a command line, an argument that comes from one."""


class StorageError(DataError):
    """Nothing could be written: the disk is full, read-only or over quota."""


def is_full(error: OSError) -> bool:
    """Whether nothing could be written because the disk is full, read-only or over quota, or a file too large."""
    return error.errno in FULL


class DivergedError(MendableError):
    """A training whose losses, gradients or weights are no longer finite; the message says where and at which rate.

    A lower learning rate mends it, so it is told in one line.
    """


def escape(letter: str) -> str:
    """A letter as Python writes it in ASCII, without quotes."""
    return letter.encode("unicode_escape").decode("ascii")
