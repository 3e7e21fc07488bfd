import pytest

from bundle.data.result_files import picture_path, result_path


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("x/a.b.png", "a.b_mask.png"),
        ("a.nii.gz", "a_mask.nii.gz"),
        ("a.TIFF", "a_mask.tiff"),
        ("a.mhd", "a_mask.mha"),
    ],
)
def test_names_of_results(image, name):
    assert result_path(image, "mask", "out").as_posix() == f"out/{name}"
    assert picture_path(image, "out").as_posix() == f"out/{name.partition('_mask')[0]}_overlay.png"
