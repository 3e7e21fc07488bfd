"""Images that cannot be shown are refused at the start; those that change later, with one line each."""

import os
import shutil

import itk
import numpy as np
import pytest
import torch
from PIL import Image

from bundle.annotate.click_service import ClickService
from bundle.errors import DataError
from tests.conftest import HEIGHT, WIDTH

CLICK = {"points": [[5, 5]], "labels": [1]}
GRAY = np.full((HEIGHT, WIDTH), 90, np.uint8)


@pytest.fixture
def image(domain):
    return domain / "images" / "training_1.png"


@pytest.fixture
def refused(client):
    """Ask for the picture and a mask of the second image; gives the one line that both answer."""

    def ask():
        answers = [client.get("/api/images/1/picture"), client.post("/api/images/1/mask", json=CLICK)]
        assert [answer.status_code for answer in answers] == [422, 422]
        (line,) = {answer.json()["detail"] for answer in answers}
        assert "\n" not in line and "training_1.png" in line
        assert client.get("/api/images/0/picture").status_code == 200
        return line

    return ask


def test_an_image_that_vanishes(image, refused):
    image.unlink()
    assert refused().endswith("no such file")


def test_an_image_that_is_truncated(image, refused):
    image.write_bytes(image.read_bytes()[:300])
    assert "cannot be read as an image (it is truncated" in refused()


@pytest.mark.parametrize(
    ("pixels", "text"),
    [
        (Image.fromarray(np.zeros((20, 30), np.uint8)), "is (30, 20) pixels now"),
        (Image.fromarray(np.stack([GRAY, GRAY, GRAY + 9], -1)), "is a colour image"),
    ],
)
def test_an_image_that_is_replaced_by_another_kind(image, refused, pixels, text):
    pixels.save(image)
    assert text in refused()


def test_an_image_that_is_replaced_by_a_fifo_blocks_nobody(image, refused):
    image.unlink()
    os.mkfifo(image)
    assert "is no regular file" in refused()


def test_a_link_that_is_swapped_in_after_the_start_serves_nothing_from_outside(image, refused, tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "secret.png")
    image.unlink()
    image.symlink_to(tmp_path / "secret.png")
    assert "lies outside of" in refused()


def test_a_folder_that_is_a_link_after_the_start(client, domain, tmp_path):
    shutil.move(domain / "images", tmp_path / "elsewhere")
    (domain / "images").symlink_to(tmp_path / "elsewhere")
    for number in range(3):
        answer = client.get(f"/api/images/{number}/picture")
        assert answer.status_code == 422 and "lies outside of" in answer.json()["detail"]


def test_a_mask_is_that_of_the_image_as_it_is_now(client, image):
    before = client.post("/api/images/1/mask", json=CLICK).content
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH), np.uint8)).save(image)
    assert client.post("/api/images/1/mask", json=CLICK).content != before


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_no_black_picture(click_service, client, value):
    click_service._load = lambda path: torch.full((1, WIDTH, HEIGHT), value)
    answer = client.get("/api/images/1/picture")
    assert answer.status_code == 422 and "holds NaN or infinite values" in answer.json()["detail"]


def test_stacks_are_refused_at_the_start(domain, click_service):
    rows = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    itk.imwrite(itk.image_from_array(rows), str(domain / "images" / "training_1.tif"))
    listed = domain / "datalist.json"
    listed.write_text(listed.read_text().replace("images/training_1.png", "images/training_1.tif"))
    with pytest.raises(DataError, match="stack of 3 sections"):
        ClickService(domain, "training", "points.json", None, None, None, None)


def test_a_fifo_is_refused_at_the_start(domain, click_service, image):
    image.unlink()
    os.mkfifo(image)
    with pytest.raises(DataError, match=r"training_1\.png: is no regular file"):
        ClickService(domain, "training", "points.json", None, None, None, None)
