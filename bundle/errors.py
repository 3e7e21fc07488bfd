"""The errors that a person can mend."""


class DataError(ValueError):
    """A file, folder or number given by the user is missing, malformed or contradictory; the message names it."""


class DivergedError(ValueError):
    """A training whose losses, gradients or weights are no longer finite; the message says where and at which rate."""
