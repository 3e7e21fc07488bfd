"""Image files of the formats that microscopes and annotation tools write: their headers and their pixels."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import itk
import nibabel
import numpy as np
from monai.data import ITKReader, NibabelReader
from numpy.typing import NDArray

from bundle.data.image_headers import checked, open_regular
from bundle.data.image_headers.claim import LOSSY
from bundle.data.mrc_files import MRC_SUFFIXES, mrc_spacing, open_mrc
from bundle.data.sections import SectionReader, Sections
from bundle.data.tiff_files import TIFF_SUFFIXES, open_tiff, tiff_spacing
from bundle.errors import DataError

NIFTI_SUFFIXES = (".nii", ".nii.gz")
SUFFIXES = (".png", *TIFF_SUFFIXES, *MRC_SUFFIXES, ".nrrd", ".mha", ".mhd", *NIFTI_SUFFIXES)
LOSSY_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".webp")
PLAUSIBLE_NM = (0.1, 1000.0)
"""Pixel sizes of electron microscopy in nm. Default spacings (1 mm) and printer resolutions (72 dpi) lie outside."""

_ITK_TYPES = (
    "unsigned_char",
    "short",
    "unsigned_short",
    "int",
    "unsigned_int",
    "float",
    "double",
    "unsigned_long_long",
)
"""Gray pixels that ITK's Python has images of; of several channels only the first."""
_NM_PER_UNIT = {"meter": 1e9, "mm": 1e6, "micron": 1e3}


class ImageHeader(NamedTuple):
    """What is known of an image file before its pixels are read.

    Attributes:
        size: (width, height) in pixels.
        sections: number of sections along z, 1 for a plain image.
        channels: 1 for gray, 3 or 4 for RGB and RGBA.
        pixel_size: nanometres per pixel, or None where the file tells none that can be trusted.
    """

    size: tuple[int, int]
    sections: int
    channels: int
    pixel_size: float | None


def stem(path: str | Path) -> str:
    """Return the file name of ``path`` without its image suffix (``.nii.gz`` is one suffix)."""
    name = Path(path).name
    found = [suffix for suffix in SUFFIXES if name.lower().endswith(suffix)]
    return name[: -max(map(len, found))] if found else name


def suffix_of(path: str | Path) -> str:
    """Return the image suffix of ``path`` in small letters; the part behind its `stem`."""
    return Path(path).name[len(stem(path)) :].lower()


def is_image(path: str | Path) -> bool:
    """Tell by its suffix whether ``path`` is of a format that `read_image` knows."""
    return Path(path).name.lower().endswith(SUFFIXES)


def read_header(path: str | Path) -> ImageHeader:
    """Read size, sections, channels and pixel size of an image file, without its pixels.

    Args:
        path: PNG, TIFF, MRC, NRRD, MHA, MHD or NIfTI file, 2D or 3D.

    Returns:
        The header. A pixel size counts as trustworthy when the two axes agree and it lies in `PLAUSIBLE_NM`: in TIFF
        that of OME's or ImageJ's metadata or of the resolution tags, in MRC the voxel size, in NIfTI with the unit that
        the file states, and elsewhere millimetres as ITK has it.

    Raises:
        DataError: the file is missing, unreadable, of another kind, too large, or has other than 2 or 3 dimensions.
    """
    with opened(path) as header:
        return header


@contextmanager
def opened(path: str | Path, reader: str | None = None) -> Iterator[ImageHeader]:
    """Check an image file, so that a library may read its pixels within the context.

    Args:
        path: as of `read_header`.
        reader: name of the reader of MONAI that shall read it; None for the one that `read_image` takes. TIFF and MRC
            have readers of their own.

    Yields:
        The header, as `read_header` gives it. Whatever a reader raises within the context becomes a `DataError`.

    Raises:
        DataError: as `read_header`; or a reader failed, or the file was replaced while it was read.
    """
    path = Path(path)
    if not is_image(path):
        with open_regular(path):  # says first where it is no file at all
            raise DataError(f"{path}: {left_out(path)}")
    with checked(path) as claim:
        try:
            if section_reader(path):
                shape, channels = claim.shape, claim.channels
                spacing: tuple[float, ...] = (tiff_spacing if _is_tiff(path) else mrc_spacing)(path)
            else:
                shape, spacing, channels = _nifti_header(path) if _is_nifti(path) else _itk_header(path)
            if prod(shape) > claim.samples:
                raise ValueError(f"its header claims {claim.samples} samples, but is read as {prod(shape)}")
            if _is_nifti(path) and reader == "ITKReader" and prod(_itk_header(path)[0]) != prod(shape):
                raise ValueError("its header is read differently by ITK and nibabel")
            header = _header(path, shape, spacing, channels)
            yield header
        except DataError:
            raise
        except Exception as error:  # the readers have no exception class in common
            raise _unreadable(path, error) from None


def section_reader(path: str | Path) -> SectionReader | None:
    """The reader for MONAI's ``LoadImage`` of formats that MONAI has none for, or a worse one; None for others."""
    return next((reader for reader in (_TIFF, _MRC) if reader.verify_suffix(str(path))), None)


def is_lossy(path: str | Path) -> bool:
    """Tell by its suffix whether ``path`` is of a format that loses what it compresses, and so is not read."""
    return Path(path).name.lower().endswith(LOSSY_SUFFIXES)


def left_out(path: str | Path) -> str:
    """Say why a file is not taken for an image that is read, to go behind its name."""
    if is_lossy(path):
        return f"is compressed with loss, as JPEG; {LOSSY}"
    return f"not one of the image formats {', '.join(SUFFIXES)}"


def read_section_header(path: str | Path) -> ImageHeader:
    """Read the header of a file that must be one section.

    Args:
        path: as of `read_header`.

    Raises:
        DataError: as `read_header`; or the file holds several sections.
    """
    header = read_header(path)
    check_section(path, header)
    return header


def check_section(path: str | Path, header: ImageHeader) -> None:
    """Refuse stacks.

    Args:
        path: of the image, for the message.
        header: of the image.

    Raises:
        DataError: the file holds several sections.
    """
    if header.sections != 1:
        raise DataError(
            f"{path}: is a stack of {header.sections} sections; expected a single section. "
            "python -m scripts.prepare_data takes stacks apart"
        )


def gray_of(colours: Any, path: str | Path) -> Any:
    """Take the gray of an image whose colours are all gray.

    Args:
        colours: array or tensor (...,C), C from 3: red, green, blue, and what comes behind is dropped.
        path: of the image, for the message.

    Returns:
        (...), of the same type.

    Raises:
        DataError: the channels differ.
    """
    if bool((colours[..., 1:3] != colours[..., :1]).any()):
        raise DataError(f"{path}: is a colour image; expected gray. Convert it to one channel")
    return colours[..., 0]


@contextmanager
def opened_sections(path: str | Path) -> Iterator[Sections]:
    """Check an image file and open it, to read its gray sections one by one.

    Of TIFF and MRC one section is in memory at a time; other formats are read as a whole.

    Args:
        path: as of `read_header`.

    Yields:
        The sections, each (X,Y) of the file's own type. RGB whose channels are equal becomes gray and transparency is
        dropped.

    Raises:
        DataError: as `opened`; or, when a section is read, its pixels cannot be read, are not finite, or are of several
            colours. What was read of a file that is replaced meanwhile must not be used.
    """
    with opened(path) as header:
        reader = section_reader(path)
        with reader.open_sections(path) if reader else _whole(path, header) as found:
            if found.count != header.sections:
                raise ValueError(f"it has {found.count} sections, its header says {header.sections}")

            def read(number: int) -> NDArray[Any]:
                try:
                    section = found.read(number)
                except (ValueError, IndexError, OSError, EOFError, SyntaxError) as error:
                    raise _unreadable(path, error) from None
                return _gray_section(section, path, header)

            yield Sections(found.dtype, found.count, 1, read)


def read_image(path: str | Path) -> NDArray[Any]:
    """Read an image file as gray sections, the type of its numbers kept.

    Readers are called without MONAI's ``LoadImage``, which returns tensors and so widens 16-bit integers.

    Args:
        path: PNG, TIFF, MRC, NRRD, MHA, MHD or NIfTI file, 2D or 3D.

    Returns:
        Array (X,Y,Z) of the file's own type, Z the number of sections. RGB whose channels are equal becomes gray and
        transparency is dropped.

    Raises:
        DataError: as `read_header`; or the pixels cannot be read, are not finite, or are of several colours.
    """
    with opened_sections(path) as sections:
        return np.stack(list(sections), axis=2)


def _gray_section(section: NDArray[Any], path: str | Path, header: ImageHeader) -> NDArray[Any]:
    if header.channels > 1:
        section = gray_of(section, path)
    if np.issubdtype(section.dtype, np.complexfloating) or not np.isfinite(section).all():
        raise DataError(f"{path}: holds complex, infinite or NaN values; expected finite gray values")
    if section.shape != header.size:
        raise DataError(
            f"{path}: cannot be read as an image (a section has {section.shape} pixels, its header says {header.size})"
        )
    return section


@contextmanager
def _whole(path: str | Path, header: ImageHeader) -> Iterator[Sections]:
    """The sections of a file that a reader of MONAI reads as a whole."""
    reader = NibabelReader() if _is_nifti(path) else ITKReader()
    array, _ = reader.get_data(reader.read(str(path)))
    channels = () if header.channels == 1 else (array.shape[-1],)
    sections = array.reshape(*header.size, header.sections, *channels)
    yield Sections(array.dtype, header.sections, header.channels, lambda number: sections[:, :, number])


def write_png(path: str | Path, section: NDArray[Any]) -> None:
    """Write one section as a gray PNG.

    Args:
        path: the file.
        section: array (X,Y), uint8 or uint16. It is turned, since PNG stores rows: (x, y) stays column x, row y.
    """
    write_itk(path, itk.image_view_from_array(np.ascontiguousarray(section.T)))


def write_itk(path: str | Path, image: Any) -> None:
    """Write an ITK image, and see that it is there.

    On a full disk ITK's writers for PNG, NRRD and MetaImage can lose the end of a file, or all of a small one, without
    an error. So the file is read again.

    Args:
        path: the file; its suffix decides the format.
        image: the image.

    Raises:
        RuntimeError: the file does not hold the image, or ITK failed.
    """
    itk.imwrite(image, str(path), compression=True)
    if not np.array_equal(itk.array_view_from_image(itk.imread(str(path))), itk.array_view_from_image(image)):
        raise RuntimeError(f"{path}: what was written is not what is read again")


_TIFF = SectionReader(TIFF_SUFFIXES, open_tiff)
_MRC = SectionReader(MRC_SUFFIXES, open_mrc)


def _is_nifti(path: str | Path) -> bool:
    return Path(path).name.lower().endswith(NIFTI_SUFFIXES)


def _is_tiff(path: str | Path) -> bool:
    return _TIFF.verify_suffix(str(path))


def _itk_header(path: Path) -> tuple[tuple[int, ...], tuple[float, ...], int]:
    """Return shape, spacing in nm and number of channels."""
    image_io = itk.ImageIOFactory.CreateImageIO(str(path), itk.CommonEnums.IOFileMode_ReadMode)
    if image_io is None:
        raise ValueError("its content is not of the format that its name says")
    image_io.SetFileName(str(path))
    image_io.ReadImageInformation()
    axes = range(image_io.GetNumberOfDimensions())
    kind = image_io.GetComponentTypeAsString(image_io.GetComponentType())
    # of other types ITK would load all that it has, for ten seconds, before it says that it has none
    if kind not in (_ITK_TYPES if image_io.GetNumberOfComponents() == 1 else _ITK_TYPES[:1]):
        raise ValueError(
            f"its pixels are {image_io.GetNumberOfComponents()} {kind}, which is not read; save it as 8 or 16 bits"
        )
    spacing = tuple(image_io.GetSpacing(axis) * _NM_PER_UNIT["mm"] for axis in axes)
    return tuple(image_io.GetDimensions(axis) for axis in axes), spacing, image_io.GetNumberOfComponents()


def _nifti_header(path: Path) -> tuple[tuple[int, ...], tuple[float, ...], int]:
    """Return shape, spacing in nm (0 where the unit is not stated) and number of channels."""
    header: Any = nibabel.load(path).header
    unit = _NM_PER_UNIT.get(header.get_xyzt_units()[0], 0.0)
    if header.get_data_dtype().names:
        raise ValueError("it is a colour NIfTI; convert it to gray")
    return tuple(header.get_data_shape()), tuple(float(zoom) * unit for zoom in header.get_zooms()), 1


def _header(path: Path, shape: tuple[int, ...], spacing: tuple[float, ...], channels: int) -> ImageHeader:
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (2, 3) or 0 in shape:
        raise DataError(f"{path}: has shape {shape}; expected a 2D image or a 3D stack of sections")
    if channels not in (1, 3, 4):
        raise DataError(f"{path}: has {channels} channels; expected gray, RGB or RGBA. Save it as plain gray")
    return ImageHeader((shape[0], shape[1]), shape[2] if len(shape) == 3 else 1, channels, _pixel_size(spacing))


def _pixel_size(spacing: tuple[float, ...]) -> float | None:
    x, y = spacing[:2]
    low, high = PLAUSIBLE_NM
    trusted = low <= x <= high and abs(x - y) <= 0.01 * x  # 1 %: axes of one pixel size, rounded
    return float(f"{x:.6g}") if trusted else None  # headers hold single precision: 4.99999989 is 5


def _unreadable(path: str | Path, error: Exception) -> DataError:
    reason = re.sub(r".*ITK ERROR: \S+ ", "", " ".join(str(error).split()))[:160] or type(error).__name__
    return DataError(f"{path}: cannot be read as an image ({reason})")
