"""The two functions, of MONAI Label's debugging transforms."""

from typing import Any, NoReturn


def make_grid(*arguments: Any, **options: Any) -> NoReturn:
    """Refuse.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError("torchvision is not installed")


def save_image(*arguments: Any, **options: Any) -> NoReturn:
    """Refuse.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError("torchvision is not installed")
