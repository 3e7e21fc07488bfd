"""Errors that a person can mend: what was given and cannot be used, and what cannot be written."""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class DataError(ValueError):
    """A file, folder or number given by the user is missing, malformed or contradictory; the message names it."""


class StorageError(DataError):
    """Nothing could be written: the disk is full, read-only or over quota."""


def is_full(error: OSError) -> bool:
    """Whether nothing could be written because the disk is full, read-only or over quota, or a file too large."""
    return error.errno in FULL


class DivergedError(ValueError):
    """A training whose losses, gradients or weights are no longer finite; the message says where and at which rate."""
