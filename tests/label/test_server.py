"""What viewers ask of MONAI Label, asked of the real server."""

import json
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("monailabel", reason="MONAI Label has an environment of its own: make label-test")

import itk
import torch
from monai.bundle import ConfigParser
from PIL import Image
from scipy.ndimage import binary_dilation

from bundle.synthetic.generator import generate_image
from bundle.synthetic.styles import STYLES
from tests.integration.commands import ROOT
from tests.label.served import HEIGHT, RADIUS, WIDTH, serving, serving_with_stock_server, write_studies

IMAGES = ["png_0", "tif_1", "tiff_2", "nrrd_3", "png_4"]


@pytest.fixture(scope="module")
def server(bundle_files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("label")
    studies = write_studies(folder / "studies #1 @seed")
    checkpoint, overlay = bundle_files
    options = ("--config", str(overlay), "--checkpoint", str(checkpoint))
    with serving(studies, folder / "server.log", *options) as server:
        yield server


def test_info_lists_what_viewers_offer(server):
    info = server.get("/info/").json()
    assert {name: model["type"] for name, model in info["models"].items()} == {
        "automatic": "segmentation",
        "interactive": "deepgrow",
    }
    assert all(model["dimension"] == 2 for model in info["models"].values())
    assert info["labels"] == ["mitochondria"]
    assert next(iter(info["strategies"])) == "disagreement" and "disagreement" in info["scoring"]
    assert info["trainers"]["adapt"]["config"]["max_epochs"] == 1
    assert info["datastore"]["total"] == len(IMAGES)


@pytest.mark.parametrize("image", IMAGES)
def test_a_click_changes_the_mask_where_it_was_made(server, image):
    """Columns up to 80 do not exist as rows: an axis taken for the other would be refused or land elsewhere."""
    before = server.mask("automatic", image)
    assert before.shape == (HEIGHT, WIDTH)
    assert set(np.unique(before)) <= {0, 1}
    empty = np.argwhere(~_grown(before > 0, RADIUS + 1))
    inner = empty[
        (empty[:, 0] > 6) & (empty[:, 0] < HEIGHT - 6) & (empty[:, 1] > HEIGHT + 2) & (empty[:, 1] < WIDTH - 6)
    ]
    y, x = inner[len(inner) // 2].tolist()
    after = server.mask("interactive", image, foreground=[[x, y]])
    added = np.argwhere((after > 0) & (before == 0))
    assert after.shape == (HEIGHT, WIDTH)
    assert len(added) > 10, "the click added nothing"
    assert np.abs(np.median(added, axis=0) - (y, x)).max() <= 4
    taken = server.mask("interactive", image, foreground=[[x, y]], background=[[x, y + 1]])
    assert not np.array_equal(taken, after), "a background click changed nothing"


def test_slicer_gets_nrrd_with_the_geometry_of_the_image(server, tmp_path):
    response = server.infer("interactive", "nrrd_3", foreground=[[70, 20, 0]], result_extension=".nrrd")
    (tmp_path / "mask.nrrd").write_bytes(response.content)
    mask = itk.imread(str(tmp_path / "mask.nrrd"))
    assert tuple(itk.size(mask)) == (WIDTH, HEIGHT)
    assert tuple(itk.spacing(mask)) == (0.5, 0.5)


def test_qupath_gets_outlines_of_its_region(server):
    body = {"location": [40, 0], "size": [48, HEIGHT], "min_poly_area": 5, "params": {"foreground": [[75, 28]]}}
    response = server.post("/infer/wsi/interactive?image=tif_1&output=asap", json=body)
    assert response.status_code == 200, response.text
    corners = [(float(c.get("X")), float(c.get("Y"))) for c in ElementTree.fromstring(response.text).iter("Coordinate")]
    assert corners, "no outline"
    xs, ys = np.transpose(corners)
    assert xs.min() >= 39 and xs.max() < WIDTH and ys.max() < HEIGHT
    assert np.hypot(xs - 75, ys - 28).min() <= RADIUS + 4


def test_outlines_of_qupath_become_a_mask(server, tmp_path):
    corners = "".join(f'<Coordinate X="{x}" Y="{y}" />' for x, y in ((60, 10), (80, 10), (80, 20), (60, 20)))
    outlines = "<ASAP_Annotations><Annotations>{}</Annotations></ASAP_Annotations>".format(
        f'<Annotation Name="Mitochondria" Type="Polygon"><Coordinates>{corners}</Coordinates></Annotation>'
    )
    (tmp_path / "tiff_2.xml").write_text(outlines)
    assert server.put_label("tiff_2", tmp_path / "tiff_2.xml").status_code == 200
    answer = server.get("/datastore/label?label=tiff_2&tag=final")
    (tmp_path / "mask.png").write_bytes(answer.content)
    rows = np.array(Image.open(tmp_path / "mask.png"))
    assert rows.shape == (HEIGHT, WIDTH)
    assert rows[15, 70] == 255 and rows[15, 50] == 0 and rows[30, 70] == 0
    (tmp_path / "tif_1.xml").write_text("no outlines")
    response = server.put_label("tif_1", tmp_path / "tif_1.xml")
    assert response.status_code == 400 and "outlines" in response.json()["detail"]
    assert server.get("/datastore/").json()["completed"] == 1
    assert server.remove_label("tiff_2") == 0


@pytest.mark.parametrize(
    "image, params, status, word",
    [
        ("nothing", {}, 404, "no such image"),
        ("png_0", {"foreground": [[WIDTH, 3]]}, 400, "outside"),
        ("png_0", {"foreground": [[10, HEIGHT]]}, 400, "outside"),
        ("png_0", {"background": [["a", 3]]}, 400, "expected [x, y]"),
        ("png_0", {"foreground": [[float("nan"), 3]]}, 400, "expected [x, y]"),
        ("png_0", {"result_extension": ".nii.gz"}, 400, "result_extension"),
    ],
)
def test_wrong_requests_get_one_line(server, image, params, status, word):
    response = server.infer("interactive", image, **params)
    assert response.status_code == status
    assert word in response.json()["detail"] and "\n" not in response.json()["detail"]


def test_the_next_image_is_the_one_with_most_disagreement(server):
    assert server.wait_for("scoring")["status"] == "DONE"
    scores = server.post("/scoring/disagreement?run_sync=true", json={}).json()
    assert set(scores) == set(IMAGES)
    assert all(0 <= score <= 1 for score in scores.values()) and max(scores.values()) > 0
    sample = server.post("/activelearning/disagreement", json={}).json()
    assert sample["id"] == max(sorted(scores), key=scores.get)
    assert sample["disagreement"] == pytest.approx(scores[sample["id"]])
    files = sorted((server.studies / "prefer_das" / "candidates").glob("*/*.npz"))
    assert sorted(file.stem for file in files) == sorted(IMAGES)


def test_labels_and_clicks_are_what_training_learns_from(server, bundle_files, tmp_path):
    server.mask("interactive", "png_4", foreground=[[70, 12], [20, 30]], background=[[5, 5]])
    saved = json.loads((server.studies / "points.json").read_text())["points"]["png_4.png"]
    assert saved == {"points": [[70, 12], [20, 30], [5, 5]], "point_labels": [1, 1, 0]}
    _, label = generate_image(STYLES["synthetic-a"], (HEIGHT, WIDTH), np.random.default_rng(0))
    Image.fromarray((label > 0).astype(np.uint8)).save(tmp_path / "png_0.png")
    response = server.put_label("png_0", tmp_path / "png_0.png")
    assert response.status_code == 200, response.text
    # as Slicer saves it: NRRD with a third axis
    itk.imwrite(itk.image_from_array((label > 0).astype(np.uint8)[None]), str(tmp_path / "nrrd_3.nrrd"))
    assert server.put_label("nrrd_3", tmp_path / "nrrd_3.nrrd").status_code == 200
    assert server.get("/datastore/").json()["completed"] == 2
    before = server.mask("automatic", "png_0")

    assert server.post("/train/adapt", json={"max_epochs": 1, "device": "cpu"}).status_code == 200
    task = server.wait_for("train")
    assert task["status"] == "DONE", "\n".join(task["details"])
    trained = torch.load(server.studies / "prefer_das" / "adapted.pt", weights_only=True)
    start = torch.load(bundle_files[0], weights_only=True)
    assert any(not torch.equal(trained[name], start[name]) for name in start)
    beside = (server.studies / "prefer_das" / "adapted.json", bundle_files[0].with_suffix(".json"))
    written, known = (json.loads(path.read_text()) for path in beside)
    assert {**written, "_provenance_": 0} == {**known, "_provenance_": 0}
    given = json.loads((server.studies / "points.json").read_text())["points"]
    assert f'"images": {len(IMAGES)}, "labels": 2, "clicked": {len(given)}' in "\n".join(task["details"])

    # the server has changed over to the new weights by itself, and serves only what has no label
    assert server.mask("automatic", "png_0").shape == before.shape
    assert "adapted.pt" in (server.studies.parent / "server.log").read_text()
    assert server.post("/activelearning/disagreement", json={}).json()["id"] not in ("png_0", "nrrd_3")


def test_a_label_of_another_size_is_refused(server, tmp_path):
    Image.fromarray(np.zeros((HEIGHT + 1, WIDTH), np.uint8)).save(tmp_path / "tif_1.png")
    response = server.put_label("tif_1", tmp_path / "tif_1.png")
    assert response.status_code == 400 and "its image is" in response.json()["detail"]
    assert server.get("/datastore/label?label=tif_1&tag=final").status_code == 404


def test_the_bundle_works_in_the_stock_app(bundle_files, tmp_path):
    """The repository's root under another root, whose weights and network are the small ones."""
    checkpoint, overlay = bundle_files
    app = tmp_path / "monaibundle"
    shutil.copytree(_stock_app(), app)
    root = app / "model" / "prefer_das_deepgrow"
    (root / "models").mkdir(parents=True)
    (root / "configs").mkdir()
    (root / "bundle").symlink_to(ROOT / "bundle")
    shutil.copy(checkpoint, root / "models" / "model.pt")
    for name in ("inference.json", "train.json"):
        config = ConfigParser()
        files = (ROOT / "configs" / name, overlay, checkpoint.with_suffix(".json"))
        config.read_config(list(map(str, files)))
        ConfigParser.export_config_file(config.get(), root / "configs" / name)
    shutil.copy(ROOT / "configs" / "metadata.json", root / "configs")
    studies = write_studies(tmp_path / "studies")
    conf = ("models", "prefer_das_deepgrow", "zoo_source", "local")
    with serving_with_stock_server(app, studies, tmp_path / "server.log", *conf) as server:
        assert server.get("/info/").json()["models"]["prefer_das_deepgrow"]["type"] == "deepgrow"
        for image in ("png_0", "tif_1", "nrrd_3"):
            before = server.mask("prefer_das_deepgrow", image)
            after = server.mask("prefer_das_deepgrow", image, foreground=[[75, 20]])
            assert before.shape == after.shape == (HEIGHT, WIDTH)
            changed = np.argwhere(before != after)
            assert len(changed) and np.hypot(*(changed - (20, 75)).T).min() <= RADIUS


def _stock_app() -> Path:
    return Path(sys.prefix) / "monailabel" / "sample-apps" / "monaibundle"


def _grown(mask: np.ndarray, by: int) -> np.ndarray:
    return binary_dilation(mask, iterations=by)
