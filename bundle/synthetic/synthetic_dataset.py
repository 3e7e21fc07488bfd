"""Synthetic tissue as a source domain: images and masks that are rendered when they are first asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import Dataset
from tqdm import tqdm

from bundle.atomic import make_folder, replacing
from bundle.data.domain_folder import write_datalist
from bundle.data.image_files import write_png
from bundle.errors import DataError
from bundle.keys import COMPLETE, IMAGE, LABEL, POINT_LABELS, POINTS
from bundle.synthetic.random_style import random_style
from bundle.synthetic.render import check_size, render


class SyntheticDataset(Dataset):
    """Items as :func:`bundle.data.load_domain` lists them, each of a tissue and a microscope of its own.

    An image and its mask are rendered when their item is first read, and kept as files from then on. They depend on
    pixel size, shape, seed and number alone, so a larger data set begins with the smaller one, and several processes
    may share the folder. Give it as ``data`` to :class:`monai.data.CacheDataset`, or with a ``transform`` of its own.

    Args:
        cache_dir: folder for the files. Each combination of the following, and of the version of the code that
            renders, gets a folder of its own in it.
        pixel_size: nanometres per pixel, above 0.
        number: number of images, 1 or more.
        shape: (H, W) of each image in pixels, each at least 32.
        seed: 0 or more; another seed gives other images.
        transform: of the items.

    Attributes:
        folder: where the files lie.

    Raises:
        DataError: a number cannot be used.
    """

    def __init__(
        self,
        cache_dir: str | Path,
        pixel_size: float,
        number: int = 200,
        shape: Sequence[int] = (192, 224),
        seed: int = 0,
        transform: Callable[..., Any] | None = None,
    ) -> None:
        height, width = check_size(shape, pixel_size)
        for name, value, least in (("number", number, 1), ("seed", seed, 0)):
            if value < least:
                raise DataError(f"{name} is {value}; expected {least} or more")
        self.pixel_size, self.shape, self.seed = float(pixel_size), (height, width), seed
        settings = json.dumps([self.pixel_size, self.shape, seed, _version()])
        key = hashlib.sha256(settings.encode()).hexdigest()[:12]
        self.folder = Path(cache_dir).absolute() / key
        # The key stands in the names of the files too: that is what a summary of the items looks at.
        names = [f"{key}-{index:04d}.png" for index in range(number)]
        items = [
            {
                IMAGE: str(self.folder / "images" / name),
                LABEL: str(self.folder / "labels" / name),
                POINTS: [],
                POINT_LABELS: [],
                COMPLETE: False,
            }
            for name in names
        ]
        super().__init__(data=items, transform=transform)

    def render_all(self) -> Path:
        """Render what is missing, with a progress bar, and list it, so that the folder is a domain folder.

        Returns:
            The folder.
        """
        missing = [index for index, item in enumerate(self.data) if not Path(item[IMAGE]).is_file()]
        for index in tqdm(missing, desc="rendering synthetic images", unit="image", disable=not missing):
            self._ensure(index)
        entries = [{key: str(Path(item[key]).relative_to(self.folder)) for key in (IMAGE, LABEL)} for item in self.data]
        write_datalist(self.folder, "synthetic", self.pixel_size, {"training": entries})
        return self.folder

    def _transform(self, index: int) -> Any:
        self._ensure(index % len(self.data))
        # Without a transform the item is copied, as a transform would.
        return dict(self.data[index]) if self.transform is None else super()._transform(index)

    def _ensure(self, index: int) -> None:
        """Render an image unless it is there. The image is written last, so where it is the mask is too."""
        image, label = (Path(self.data[index][key]) for key in (IMAGE, LABEL))
        if image.is_file():
            return
        rng = np.random.default_rng([self.seed, index])
        picture, instances = render(random_style(rng), self.shape, self.pixel_size, rng)
        for path, array in ((label, (instances > 0).astype(np.uint8) * 255), (image, picture)):
            make_folder(path.parent)
            with replacing(path, ".png") as partial:
                write_png(partial, array.T)


@cache
def _version() -> str:
    """Hash of the code that renders: images of an older one are not taken for those of this one."""
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        code.update(path.read_bytes())
    return code.hexdigest()
