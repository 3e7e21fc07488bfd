import pytest

from bundle.data.points import LARGEST, read_points
from bundle.errors import DataError


@pytest.mark.parametrize("position", ["1e308,3", "3,-1e300", f"{LARGEST},0"])
def test_positions_that_are_in_no_image(tmp_path, position):
    (tmp_path / "clicks.csv").write_text(f"image,x,y\na.png,{position}\n")
    with pytest.raises(
        DataError, match=r"clicks\.csv: a\.png: point \(.*\) is in no image; expected pixels, fewer than"
    ):
        read_points(tmp_path / "clicks.csv", ["images/a.png"])


def test_the_last_pixel_that_an_image_may_have(tmp_path):
    (tmp_path / "clicks.csv").write_text(f"image,x,y\na.png,{LARGEST - 1}.5,0\n")
    assert read_points(tmp_path / "clicks.csv", ["a.png"]).clicks["a.png"].points == [[LARGEST - 1, 0]]
