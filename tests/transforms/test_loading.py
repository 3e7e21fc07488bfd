import itk
import nibabel
import numpy as np
import pytest

from bundle.data.pixels import LARGEST_PIXEL, check_finite
from bundle.errors import DataError
from bundle.transforms import LoadGrayImaged


def write(path, array):
    """An array (X,Y) as an image file of its type."""
    if path.name.endswith(".nii.gz"):
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path)
    else:
        itk.imwrite(itk.image_view_from_array(np.ascontiguousarray(array.T)), str(path))
    return str(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha", ".tif"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e20])
def test_a_pixel_that_nothing_can_be_computed_with_is_named(tmp_path, suffix, value):
    array = np.random.default_rng(0).random((7, 5)).astype(np.float32)
    array[4, 2] = value
    reader = "NibabelReader" if suffix == ".nii.gz" else "ITKReader"
    path = write(tmp_path / f"em{suffix}", array)
    with pytest.raises(DataError, match=r"em\S*: pixel \(4, 2\) is .*, expected finite gray values") as error:
        LoadGrayImaged("image", reader=reader)({"image": path})
    assert f"is {value:g}," in str(error.value) and "\n" not in str(error.value)


def test_double_precision_that_single_cannot_hold(tmp_path):
    array = np.ones((7, 5))
    array[0, 1] = 1e300
    with pytest.raises(DataError, match=r"pixel \(0, 1\) is inf"):
        LoadGrayImaged("image")({"image": write(tmp_path / "em.mha", array)})


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_other_images_are_what_they_were(tmp_path, kind):
    array = (np.random.default_rng(0).random((7, 5)) * 200).astype(kind)
    loaded = LoadGrayImaged("image")({"image": write(tmp_path / "em.tif", array)})["image"]
    assert np.array_equal(np.asarray(loaded), array)


def test_the_largest_pixels_are_normalised(tmp_path):
    check_finite(np.array([[-LARGEST_PIXEL, LARGEST_PIXEL]]), "a.tif")
    check_finite(np.zeros((0, 3)), "a.tif")
    values = np.full((512, 512), LARGEST_PIXEL, np.float32)
    values[::2] *= -1
    assert np.isfinite(np.float32(np.square(values).sum(dtype=np.float32)))
