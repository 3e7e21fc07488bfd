"""Bad pixels, bad first weights and a rate too high in each stage: one line, and nothing good is lost."""

import json
import shutil
from pathlib import Path

import itk
import numpy as np
import pytest
import torch

from tests.integration.commands import ADAPT, SOURCE, call, command, flags, run_here
from tests.integration.test_training import STATE, read

PREFER = ["configs/train.json", "configs/prefer.json"]
STAGES = {"source": SOURCE, "adapt": ADAPT, "prefer": PREFER}
VIT = {"image_encoder": {"_target_": "bundle.networks.ViTEncoder", "embed_dim": 16, "depth": 1, "num_heads": 2}}


def with_floats(folder: Path, target: Path) -> Path:
    """Copy a domain folder; its second training image becomes a TIFF of floats."""
    shutil.copytree(folder, target)
    image = np.asarray(itk.imread(str(target / "images" / "training_1.png"))).astype(np.float32)
    itk.imwrite(itk.image_view_from_array(image), str(target / "images" / "training_1.tif"))
    (target / "images" / "training_1.png").unlink()
    for name in ("datalist.json", "points_15.json"):
        text = (target / name).read_text()
        (target / name).write_text(
            json.dumps(json.loads(text.replace("images/training_1.png", "images/training_1.tif")))
        )
    return target


def spoil(image: Path) -> None:
    """Give an image a pixel that is NaN."""
    pixels = np.asarray(itk.imread(str(image))).copy()
    pixels[7, 30] = np.nan
    itk.imwrite(itk.image_view_from_array(pixels), str(image))


def bad_weights(good: Path, path: Path) -> Path:
    state = read(good)
    next(value for value in state.values() if value.is_floating_point()).view(-1)[-1] = torch.nan
    torch.save(state, path)
    return path


def bad_backbone(path: Path) -> Path:
    """The first weights of stage 0 are those of a backbone."""
    from bundle.networks import ViTEncoder
    from bundle.networks.vit_encoder import _dino_shapes

    encoder = ViTEncoder(embed_dim=16, depth=1, num_heads=2)
    state = {name: torch.zeros(shape) for name, shape in _dino_shapes(encoder).items()}
    state["norm.weight"][3] = torch.nan
    torch.save(state, path)
    return path


def finite(path: Path) -> bool:
    return all(torch.isfinite(value).all() for value in read(path).values())


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["pixel", "weight", "rate"])
@pytest.mark.parametrize("stage", STAGES)
def test_run_fails_and_keeps_what_was_good(stage, fault, domain_pair, source_weights, tmp_path, in_root):
    files, model, work = STAGES[stage], tmp_path / "model.pt", tmp_path / "work"
    good = {"checkpoint": str(model), "work_dir": str(work), "source_dir": str(domain_pair.source)}
    if stage != "source":
        good |= {"dataset_dir": str(domain_pair.target), "init_checkpoint": str(source_weights)}
    if stage == "prefer":
        good |= {"points": "points_15.json", "region_size_nm": 160.0, "candidates_count": 4, "annotator": "oracle"}
    domain = "source_dir" if stage == "source" else "dataset_dir"
    good[domain] = str(with_floats(Path(good[domain]), tmp_path / "domain"))
    image = tmp_path / "domain" / "images" / "training_1.tif"
    pixels = image.read_bytes()
    run_here(files, **good)
    before = model.read_bytes(), (work / STATE).read_bytes()

    bad = {**good, "max_epochs": 2}
    if fault == "pixel":
        spoil(image)
        cause = f"{image}: pixel (30, 7) is nan, expected finite gray values"
        if stage == "prefer":  # the candidates of the image as it was would be refused before it is read
            bad |= {"candidates_dir": str(tmp_path / "candidates"), "store": str(tmp_path / "preferences.sqlite")}
    elif fault == "rate":
        bad["learning_rate"] = 1e30
        cause = "the training diverged in epoch 1, iteration "
    elif stage == "source":
        bad |= {"image_encoder": {**VIT["image_encoder"], "weights": str(bad_backbone(tmp_path / "dino.pth"))}}
        cause = "dino.pth cannot be used: norm.weight holds nan"
    else:
        bad["init_checkpoint"] = str(bad_weights(source_weights, tmp_path / "nan.pt"))
        cause = f"{tmp_path}/nan.pt: "

    arguments = flags(files, **bad)
    if "image_encoder" in bad:  # whole, in place of settings of the other encoder
        overlay = tmp_path / "vit.json"
        overlay.write_text(json.dumps({"image_encoder": bad.pop("image_encoder")}))
        arguments = flags([*files, str(overlay)], **bad)
        for name in ("image_encoder#channels", "image_encoder#blocks"):
            at = arguments.index(f"--{name}")
            del arguments[at : at + 2]
    for resume in ([], ["--resume", "True"]):
        done = call(command("run", "training", *arguments, *resume))
        last = done.stderr.splitlines()[-1]
        assert done.returncode == 1 and last.startswith("error: "), done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        # with resume a changed rate is refused before it can do harm
        assert cause in last or (resume and fault == "rate" and "learning_rate" in last), last
        assert before == (model.read_bytes(), (work / STATE).read_bytes())

    image.write_bytes(pixels)
    run_here(files, **{**good, "max_epochs": 2}, resume=True)
    assert finite(model) and read(work / STATE)["position"]["epoch"] == 2
