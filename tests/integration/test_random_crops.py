"""What the workers of stage 0 and stage 1 draw, through whole configurations."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from monai.bundle import ConfigParser
from monai.utils import set_determinism

from tests.integration.commands import ADAPT, SOURCE, TINY

DRAWS = 16


@pytest.fixture
def one_image(domain_pair, tmp_path):
    """A domain with one training image, so that crops differ only by what is drawn."""
    folder = shutil.copytree(domain_pair.source, tmp_path / "domain")
    content = json.loads((folder / "datalist.json").read_text())
    (folder / "datalist.json").write_text(json.dumps({**content, "training": content["training"][:1]}))
    return str(folder)


def draw(files, folder, rank=0, epochs=1):
    """The images of each epoch by domain, as two workers of the process of this rank draw them."""
    parser = ConfigParser()
    parser.read_config(files)
    several = {"num_workers": 2, "batch_size": 1, "epoch_length": DRAWS, "rank": rank}
    parser.update({**TINY, "source_dir": folder, **several})
    if files is ADAPT:
        parser["dataset_dir"] = folder
    try:
        batches, reseed = (parser.get_parsed_content(f"train#{name}") for name in ("dataloader", "reseed"))
        found = []
        for epoch in range(1, epochs + 1):
            reseed.reseed(SimpleNamespace(state=SimpleNamespace(epoch=epoch)))
            found.append(list(batches))
    finally:
        set_determinism(None)
    if files is SOURCE:
        return [{"source": [batch["image"] for batch in epoch]} for epoch in found]
    views = {"source": ("source", "image"), "target": ("target", "image"), "strong": ("target", "strong")}
    return [{name: [batch[a][b] for batch in epoch] for name, (a, b) in views.items()} for epoch in found]


@pytest.mark.parametrize("files", [SOURCE, ADAPT], ids=["stage 0", "stage 1"])
def test_no_two_workers_epochs_or_processes_draw_the_same(files, one_image, in_root):
    epochs = [*draw(files, one_image, epochs=2), *draw(files, one_image, rank=1)]
    for name in {"source", "strong"} & epochs[0].keys():
        drawn = {image[0, 0].numpy().tobytes() for epoch in epochs for image in epoch[name]}
        assert len(drawn) == 3 * DRAWS, name


def test_a_source_crop_does_not_tell_its_target_crop(one_image, in_root):
    """Both are of one image: where they were cut out at one place and turned alike, they are alike."""
    (found,) = draw(ADAPT, one_image)
    pairs = [[image[0, 0].flatten().numpy() for image in found[name]] for name in ("source", "target")]
    alike = [np.corrcoef(one, other)[0, 1] for one, other in zip(*pairs, strict=True)]
    assert abs(np.mean(alike)) < 0.4
