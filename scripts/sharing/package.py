"""BioImage.IO packages. Needs bioimageio.core, which has an environment of its own: ``make bioimageio``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import torch
from bioimageio.spec import save_bioimageio_package_as_folder
from bioimageio.spec.model import v0_5 as spec
from loguru import logger
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError
from ruyaml import YAML

from bundle.atomic import make_folder, replacing
from bundle.errors import DataError
from scripts.sharing.documentation import PAPERS, describe, write_documentation
from scripts.sharing.example import cover_picture, example_image
from scripts.sharing.standalone_model import StandaloneModel

logger.disable("bioimageio")  # its hints are of no use to who exports; `bioimageio test` prints them

SMALLEST = 64
"""Sides of an image in pixels from which on it is taken."""

TAGS = ("electron-microscopy", "mitochondria", "2d", "segmentation", "semantic-segmentation", "pytorch", "monai")


@dataclass(frozen=True)
class Card:
    """What a package says of itself.

    Args:
        name: of letters, digits, spaces and ``_+-()``.
        version: such as 0.1.0.
        authors: names.
        license: SPDX identifier of the weights' licence, or None for not stated.
    """

    name: str
    version: str
    authors: Sequence[str]
    license: str | None


def write_package(model: StandaloneModel, card: Card, interactive: bool, path: Path) -> None:
    """Write a package; it appears complete or not at all.

    Its test tensors are a synthetic image and what this bundle's own inference makes of it, so testing the package
    compares it with this bundle.

    Args:
        model: network and numbers.
        card: words.
        interactive: image and clicks in, mask and density out; else image in, mask out.
        path: zip file to write; its folder is made.

    Raises:
        DataError: the description is invalid, such as by a licence that SPDX does not know.
        StorageError: it cannot be written.
    """
    make_folder(path.parent)
    with TemporaryDirectory() as folder:
        try:
            description = _describe(model, card, interactive, Path(folder))
        except ValidationError as error:
            first = error.errors()[0]
            field = first["loc"][0] if first["loc"] else error.title
            raise DataError(
                f"{field} is {str(first['input'])[:80]!r}, which BioImage.IO does not take: {first['msg'][:160]}"
            ) from error
        package = save_bioimageio_package_as_folder(description, output_path=Path(folder) / "package")
        _write_older_format(package / "rdf.yaml")
        with replacing(path, suffix=".zip") as partial, ZipFile(partial, "w", ZIP_DEFLATED) as archive:
            for file in sorted(package.iterdir()):
                archive.write(file, file.name)


def _write_older_format(file: Path) -> None:
    """Write ``covers`` and ``documentation`` as format 0.5.9 has them: QuPath and ilastik refuse those of 0.5.12."""
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    content = yaml.load(file)
    content["format_version"] = "0.5.9"
    content["covers"] = [cover["source"] for cover in content["covers"]]
    content["documentation"] = content["documentation"]["source"]
    yaml.dump(content, file)


def _describe(model: StandaloneModel, card: Card, interactive: bool, folder: Path) -> spec.ModelDescr:
    """The description of a model whose files are written into a folder."""
    image, clicks = example_image()
    mask, density = model.segment(image, clicks if interactive else None)
    files = _Files(folder)
    axes = _Axes(model.pixel_size)
    inputs = [
        spec.InputTensorDescr(
            id=spec.TensorId("image"),
            description="gray image",
            axes=[spec.BatchAxis(), _channels("image"), *axes.free()],
            data=spec.IntervalOrRatioDataDescr(type="float32"),
            preprocessing=_preprocessing(*model.percentiles),
            test_tensor=files.tensor("test_image.npy", image),
            sample_tensor=files.picture("sample_image.png", image),
        )
    ]
    outputs = [
        spec.OutputTensorDescr(
            id=spec.TensorId("mask"),
            description="1 in mitochondria, 0 elsewhere",
            axes=[spec.BatchAxis(), _channels("mitochondria"), *axes.bound(spec.SpaceOutputAxis)],
            data=spec.IntervalOrRatioDataDescr(type="float32", range=(0, 1)),
            postprocessing=[
                spec.BinarizeDescr(kwargs=spec.BinarizeKwargs(threshold=model.threshold)),
                spec.EnsureDtypeDescr(kwargs=spec.EnsureDtypeKwargs(dtype="float32")),
            ],
            test_tensor=files.tensor("test_mask.npy", mask),
            sample_tensor=files.picture("sample_mask.png", mask * np.uint8(255)),
        )
    ]
    if interactive:
        inputs.append(
            spec.InputTensorDescr(
                id=spec.TensorId("clicks"),
                description="each click one pixel of value 1, all others 0",
                optional=True,
                axes=[spec.BatchAxis(), _channels("foreground", "background"), *axes.bound(spec.SpaceInputAxis)],
                data=spec.IntervalOrRatioDataDescr(type="float32", range=(0, 1)),
                test_tensor=files.tensor("test_clicks.npy", clicks),
            )
        )
        outputs.append(
            spec.OutputTensorDescr(
                id=spec.TensorId("density"),
                description="a peak at the centre of each mitochondrion",
                axes=[spec.BatchAxis(), _channels("density"), *axes.bound(spec.SpaceOutputAxis)],
                data=spec.IntervalOrRatioDataDescr(type="float32", range=(0, 1)),
                test_tensor=files.tensor("test_density.npy", density),
            )
        )
    weights = folder / "weights.pt"
    torch.jit.save(model.script(interactive), weights)
    return spec.ModelDescr(
        name=card.name,
        description=describe(interactive),
        version=spec.Version(card.version),
        authors=[spec.Author(name=name) for name in card.authors],
        license=card.license,
        cite=[spec.CiteEntry(text=text, doi=spec.Doi(doi)) for text, doi in PAPERS.items()],
        tags=[*TAGS, *(["interactive"] if interactive else [])],
        documentation=files.text("README.md", write_documentation(model, interactive, card.license)),
        covers=[files.picture("cover.png", cover_picture(image, mask))],
        inputs=inputs,
        outputs=outputs,
        weights=spec.WeightsDescr(
            torchscript=spec.TorchscriptWeightsDescr(
                source=weights, pytorch_version=spec.Version(torch.__version__.partition("+")[0])
            )
        ),
    )


def _preprocessing(low: float, high: float) -> list[Any]:
    """Clip to percentiles, which end at 0 and 1.

    Mean and variance are left to the weights: bioimageio.core takes all its statistics of the image as it came in,
    where ours are of the clipped image. ``clip`` could take the percentiles by itself, but QuPath reads its ``min`` and
    ``max`` alone. The type is set in the end, since the statistics are of double precision and the weights are not.
    """
    axes = [spec.AxisId("y"), spec.AxisId("x")]
    return [
        spec.EnsureDtypeDescr(kwargs=spec.EnsureDtypeKwargs(dtype="float32")),
        spec.ScaleRangeDescr(kwargs=spec.ScaleRangeKwargs(axes=axes, min_percentile=low, max_percentile=high)),
        spec.ClipDescr(kwargs=spec.ClipKwargs(min=0.0, max=1.0)),
        spec.EnsureDtypeDescr(kwargs=spec.EnsureDtypeKwargs(dtype="float32")),
    ]


def _channels(*names: str) -> spec.ChannelAxis:
    return spec.ChannelAxis(channel_names=[spec.Identifier(name) for name in names])


class _Axes:
    """The axes y and x.

    The windows slide inside the network, so any size will do: a step of 1. (With larger ones QuPath gets to a tile size
    of 0.) There is no halo: with one, whole images would be mirrored at their borders, unlike here.
    """

    def __init__(self, pixel_size: float | None) -> None:
        self.scale: dict[str, Any] = {} if pixel_size is None else {"unit": "nanometer", "scale": pixel_size}

    def free(self) -> list[Any]:
        size = spec.ParameterizedSize(min=SMALLEST, step=1)
        return [spec.SpaceInputAxis(id=spec.AxisId(name), size=size, **self.scale) for name in "yx"]

    def bound(self, kind: Any) -> list[Any]:
        """As large as those of the image."""
        image = spec.TensorId("image")
        sizes = {name: spec.SizeReference(tensor_id=image, axis_id=spec.AxisId(name)) for name in "yx"}
        return [kind(id=spec.AxisId(name), size=size, **self.scale) for name, size in sizes.items()]


class _Files:
    """Writes the files of a description into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def tensor(self, name: str, array: NDArray[Any]) -> spec.FileDescr:
        """An array (Y,X) or (channel,Y,X) as (1,channel,Y,X) float32."""
        np.save(self.folder / name, array.reshape(1, -1, *array.shape[-2:]).astype(np.float32))
        return spec.FileDescr(source=self.folder / name)

    def picture(self, name: str, array: NDArray[np.uint8]) -> spec.FileDescr:
        """(Y,X) or (Y,X,3)."""
        Image.fromarray(array).save(self.folder / name, optimize=True)
        return spec.FileDescr(source=self.folder / name)

    def text(self, name: str, content: str) -> spec.FileDescr:
        (self.folder / name).write_text(content, encoding="utf-8")
        return spec.FileDescr(source=self.folder / name)
