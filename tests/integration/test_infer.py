"""``python -m scripts.infer`` on images whose pixels are not those of the network: masks, a table and pictures."""

import csv

import numpy as np
import pytest
from PIL import Image
from skimage.io import imread
from skimage.measure import label

from scripts import infer
from tests.integration.commands import ROOT, SOURCE, call, command, run_here

RESULTS = ("mask.png", "density.png", "instances.png", "overlay.png")
WIDTH, HEIGHT = 144, 112


@pytest.fixture(scope="module")
def weights(domain_pair, tmp_path_factory):
    """A small network that finds dark discs at 20 nm a pixel, with its overlay."""
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        run_here(
            SOURCE,
            source_dir=str(domain_pair.source),
            checkpoint=str(folder / "discs.pt"),
            work_dir=str(folder / "work"),
            learning_rate=1e-2,
            batch_size=4,
            max_epochs=1,
            epoch_length=60,
        )
    return folder / "discs.pt"


@pytest.fixture(scope="module")
def scans(domain_pair, tmp_path_factory):
    """The test images of the source at 10 nm a pixel, which the files do not tell."""
    folder = tmp_path_factory.mktemp("scans")
    for name in ("test_0.png", "test_1.png"):
        with Image.open(domain_pair.source / "images" / name) as image:
            image.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(folder / name)
    return folder


def rows(folder):
    with (folder / "mitochondria.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_folder_as_a_person_types_it(weights, scans, tmp_path):
    options = ("--pixel-size", "10", "--checkpoint", str(weights), "--output", str(tmp_path / "out"))
    done = call(command(str(scans), *options, module=("-m", "scripts.infer")))
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "mitochondria.csv",
        *(f"test_{i}_{result}" for i in range(2) for result in RESULTS),
    }
    table = rows(tmp_path / "out")
    for i in range(2):
        instances = imread(tmp_path / "out" / f"test_{i}_instances.png")
        assert instances.shape == (HEIGHT, WIDTH)
        own = [row for row in table if row["image"] == f"test_{i}.png"]
        numbers, counts = np.unique(instances[instances > 0], return_counts=True)
        assert [int(row["instance"]) for row in own] == numbers.tolist() and len(own) >= 2
        assert [float(row["area_um2"]) for row in own] == pytest.approx(counts * 1e-4)
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"2 images, {len(table)} mitochondria, median area 0.0")
    assert line.endswith(f"% of the area, by discs.pt: {tmp_path / 'out' / 'mitochondria.csv'}")
    assert "segmenting" in done.stderr and "1/2" in done.stderr
    assert not [text for text in done.stderr.splitlines() if text.strip() and "segmenting" not in text]


def test_the_discs_are_found_where_they_are(weights, scans, domain_pair, tmp_path):
    options = ["--pixel-size", "10", "--checkpoint", str(weights), "--output", str(tmp_path)]
    assert infer.main([str(scans / "test_0.png"), *options]) == 0
    with Image.open(domain_pair.source / "labels" / "test_0.png") as truth:
        discs = label(np.asarray(truth.resize((WIDTH, HEIGHT), Image.Resampling.NEAREST)) > 0)
    found = [
        discs[int(float(row["centroid_y_nm"]) / 10), int(float(row["centroid_x_nm"]) / 10)] for row in rows(tmp_path)
    ]
    assert set(found) >= {1, 2, 3}


def test_what_is_there_is_left_out_on_demand(weights, scans, tmp_path, capsys):
    options = ["--pixel-size", "10", "--checkpoint", str(weights), "--output", str(tmp_path / "out")]
    assert infer.main([str(scans / "test_0.png"), *options]) == 0
    made = (tmp_path / "out" / "test_0_mask.png").stat().st_mtime_ns
    assert infer.main([str(scans), *options, "--resume"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("1 image, ")
    assert (tmp_path / "out" / "test_0_mask.png").stat().st_mtime_ns == made
    assert {row["image"] for row in rows(tmp_path / "out")} == {"test_0.png", "test_1.png"}
    assert infer.main([str(scans), *options, "--resume"]) == 0
    assert capsys.readouterr().out.startswith("0 images, 0 mitochondria, by discs.pt")


def test_errors_are_one_line_that_says_what_to_do(weights, scans, tmp_path, monkeypatch, capsys):
    image, options = str(scans / "test_0.png"), ["--output", str(tmp_path / "out")]
    (tmp_path / "clicks.csv").write_text("image,x,y\ntest_0.png,144,5\n")
    clicked = (image, "--checkpoint", str(weights), "--pixel-size", "10", "--points", str(tmp_path / "clicks.csv"))
    cases = {
        (image, "--checkpoint", str(weights)): ("test_0.png: tells no pixel size", "PIXEL_SIZE=NM"),
        (str(tmp_path / "no.png"), "--checkpoint", str(weights)): ("no.png: no such file or folder", ""),
        (image, "--checkpoint", str(tmp_path / "no.pt"), "--pixel-size", "10"): ("no.pt: no such checkpoint", ""),
        clicked: ("point (144, 5) lies outside", "144 wide"),
        (image, "--pixel-size", "10"): (f"{tmp_path}/models: has neither model.pt nor model_synthetic.pt", ""),
    }
    monkeypatch.setattr(infer, "MODELS", tmp_path / "models")
    for words, texts in cases.items():
        assert infer.main([*words, *options]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ") and all(text in line for text in texts)
    assert not list(tmp_path.rglob("*_mask.png"))


def test_the_better_weights_are_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(infer, "MODELS", tmp_path)
    (tmp_path / "model_synthetic.pt").touch()
    assert infer.shipped_weights().name == "model_synthetic.pt"
    (tmp_path / "model.pt").touch()
    assert infer.shipped_weights().name == "model.pt"


@pytest.mark.parametrize("name", ["a.tif", "a b.nii.gz", "folder"])
def test_results_of_each_image_go_to_a_folder_of_their_own(name):
    options = infer.parser().parse_args([name])
    assert infer.output_of(options) == ROOT / "runs" / "infer" / name.partition(".")[0]
    assert infer.output_of(infer.parser().parse_args([name, "--output", "x"])).name == "x"
