"""The network's output as masks, density maps and instances, and as files."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import itk
import nibabel
import numpy as np
import torch
from monai.transforms import MapTransform
from monai.utils import convert_to_numpy
from numpy.typing import NDArray

from bundle import keys as K
from bundle.atomic import make_folder, replacing
from bundle.channels import density_of, logits_of
from bundle.data.image_files import NIFTI_SUFFIXES, check_section, opened, stem, suffix_of, write_itk
from bundle.data.mrc_files import MRC_SUFFIXES, mrc_geometry, write_mrc
from bundle.data.result_files import result_path
from bundle.data.tiff_files import TIFF_SUFFIXES, tiff_calibration, write_tiff
from bundle.errors import DataError, SettingError

EIGHT_BIT = (".png",)
"""Formats without floating point: masks are written as 0 and 255, density maps times 255."""


class SplitOutputd(MapTransform):
    """Split output (2,X,Y) into the mask (1,X,Y) uint8, under the same key, and ``density`` (1,X,Y) in [0,1].

    Args:
        keys: the network's output.
        threshold: probability above which a pixel is foreground.

    Raises:
        SettingError: when ``threshold`` is not between 0 and 1.
        DataError: when called: the output is not finite.
    """

    def __init__(self, keys: str = K.PRED, threshold: float = 0.5) -> None:
        super().__init__(keys)
        if not 0 < threshold < 1:
            raise SettingError(f"threshold must be between 0 and 1, got {threshold}")
        self.logit = float(np.log(threshold / (1 - threshold)))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with mask and density."""
        d = dict(data)
        for key in self.key_iterator(d):
            out = d[key]
            if not torch.isfinite(out).all():
                raise DataError(
                    f"the network's output for {_input_file(out, 'an image')} holds NaN or infinite values: look for "
                    "NaN in the image, and try amp false"
                )
            d[K.DENSITY] = density_of(out).float().clamp(0, 1)
            d[key] = (logits_of(out) > self.logit).byte()
        return d


class SaveOutputsd(MapTransform):
    """Write mask, density and instances of an image, in its format and geometry.

    Files are named by :func:`bundle.data.result_files.result_path`, and each appears complete or not at all. In a
    picture format (PNG) a mask is 0 and 255 and a density map 8 bit, times 255; in others 0 and 1, and float32.
    Instances are 16 bit.

    Args:
        keys: the mask (1,X,Y) or (X,Y), a MetaTensor with its file name; the item also has ``density``, ``instances``.
        output_dir: folder, made when absent.

    Raises:
        StorageError: the folder cannot be made, or, when called, a file not written.
        DataError: when called, for more instances than 16 bit can number.
    """

    def __init__(self, keys: str = K.PRED, output_dir: str | Path = "eval") -> None:
        super().__init__(keys)
        self.output_dir = Path(output_dir)
        make_folder(self.output_dir)

    def __call__(self, data: Mapping[Hashable, Any]) -> Mapping[Hashable, Any]:
        """Write, and return the item as it is."""
        for key in self.key_iterator(data):
            file = _input_file(data[key])
            picture = str(result_path(file, key, self.output_dir)).endswith(EIGHT_BIT)
            for result, section in self._sections(data, key, picture).items():
                write_like(result_path(file, result, self.output_dir), section, file)
        return data

    @staticmethod
    def _sections(data: Mapping[Hashable, Any], key: Hashable, picture: bool) -> dict[str, NDArray[Any]]:
        """The arrays (X,Y) of the files, as their format wants them."""
        mask, density, instances = (_section(data[name]) for name in (key, K.DENSITY, K.INSTANCES))
        count, most = int(instances.max(initial=0)), np.iinfo(np.uint16).max
        if count > most:
            raise DataError(
                f"{_input_file(data[key])}: {count} instances, but the file can number {most}; "
                "raise min_size or threshold"
            )
        return {
            "mask": (mask > 0).astype(np.uint8) * np.uint8(255 if picture else 1),
            "density": np.rint(density * 255).astype(np.uint8) if picture else density.astype(np.float32),
            "instances": instances.astype(np.uint16),
        }


def write_like(path: str | Path, section: NDArray[Any], reference: str | Path) -> None:
    """Write a section with the geometry of another file, atomically.

    MONAI's writers drop what a 2D affine does not hold: NIfTI's unit, the calibration of ImageJ and OME, and the
    position of a section in a file with a third axis of length 1. So the header is copied from the file itself. In
    another format only the pixel size is kept, where the file tells it.

    Args:
        path: file to write, its suffix decides the format; its folder must exist.
        section: array (X,Y), uint8, uint16 or float32.
        reference: image file of the same size, whose pixel size, and spacing, origin and direction, are taken over.

    Raises:
        DataError: the reference is missing, or it has changed.
    """
    path = Path(path)
    with opened(reference) as header:
        check_section(reference, header)
        if header.size != section.shape:
            raise DataError(f"{reference}: is {header.size} pixels now, but was {section.shape}; segment it again")
        write = _writer(path, reference, header.pixel_size)
    with replacing(path, suffix=path.name[len(stem(path)) :]) as partial:  # the writers take the format from the suffix
        write(partial, section)


def _writer(path: Path, reference: str | Path, pixel_size: float | None) -> Callable[[Path, NDArray[Any]], None]:
    """What writes a section in the format of ``path``, with the geometry of ``reference``."""
    suffix, other = suffix_of(path), suffix_of(reference)
    if suffix in NIFTI_SUFFIXES:
        nifti = nibabel.load(reference)
        return lambda place, section: _write_nifti(place, section, nifti)
    if suffix in TIFF_SUFFIXES:
        calibration = tiff_calibration(reference if other in TIFF_SUFFIXES else pixel_size)
        return lambda place, section: write_tiff(place, section, calibration)
    if suffix in MRC_SUFFIXES:
        geometry = mrc_geometry(reference if other in MRC_SUFFIXES else pixel_size)
        return lambda place, section: write_mrc(place, section, geometry)
    like = _itk_like(reference, other, pixel_size)
    return lambda place, section: _write_itk(place, section, like)


def _itk_like(reference: str | Path, suffix: str, pixel_size: float | None) -> Any:
    """An ITK image with the geometry of a file."""
    if suffix not in (*TIFF_SUFFIXES, *MRC_SUFFIXES):
        return itk.imread(str(reference))
    like = itk.image_from_array(np.zeros((1, 1), np.uint8))
    if pixel_size is not None:
        like.SetSpacing([pixel_size * 1e-6] * 2)
    return like


def _write_itk(path: Path, section: NDArray[Any], like: Any) -> None:
    dimensions = like.GetImageDimension()
    rows = np.ascontiguousarray(section.T).reshape((1,) * (dimensions - 2) + section.T.shape)  # (y, x) or (z, y, x)
    image = itk.image_view_from_array(rows)
    image.SetSpacing(like.GetSpacing())
    image.SetOrigin(like.GetOrigin())
    image.SetDirection(like.GetDirection())
    write_itk(path, image)


def _write_nifti(path: Path, section: NDArray[Any], like: Any) -> None:
    image = type(like)(section.reshape(like.shape), like.affine, like.header, dtype=section.dtype)
    image.header["cal_min"] = image.header["cal_max"] = 0  # the brightness window of the input
    nibabel.save(image, path)


def _section(value: Any) -> NDArray[Any]:
    array: NDArray[Any] = convert_to_numpy(value)
    return array.reshape(array.shape[-2:])


def _input_file(value: Any, default: str | None = None) -> str:
    """The file that a MetaTensor comes from."""
    name = getattr(value, "meta", {}).get("filename_or_obj", default)
    if name is None:
        raise ValueError("the mask does not know its file, so its results have no name; load images with LoadImaged")
    return str(name)
