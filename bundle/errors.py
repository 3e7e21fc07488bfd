"""The error of everything that a person gave as data and that cannot be used."""


class DataError(ValueError):
    """A file, folder or number given by the user is missing, malformed or contradictory; the message names it."""


class StorageError(DataError):
    """Nothing could be written: the disk is full, read-only or over quota."""
