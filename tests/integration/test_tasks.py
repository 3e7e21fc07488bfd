"""The tasks of ``configs/tasks`` on small archives of the published layouts: from the archives to the scores."""

import monai.bundle
import pandas as pd
import pytest
from monai.bundle import ConfigParser

from bundle.data.published import PUBLISHED
from bundle.errors import MendableError, SettingError
from scripts import compare
from scripts.compare import task_domains
from scripts.comparison.cells import Cells
from scripts.comparison.comparison import Comparison
from scripts.prepare_data import main
from tests.data.published_archives import stem_files, write_lucchi, write_mitoem, write_zip
from tests.integration.commands import TRAINING

TASKS = {
    "mitoem_r_to_h": ("mitoem-r", "mitoem-h"),
    "mitoem_h_to_r": ("mitoem-h", "mitoem-r"),
    "mitoem_h_to_lucchi": ("mitoem-h", "lucchi-pp"),
    "mitoem_h_to_stem": ("mitoem-h", "mitoem2-stem"),
}
SMALL = {
    "image_encoder": {"_target_": "bundle.networks.ConvEncoder", "channels": [8, 8, 16], "blocks": [1, 1, 1]},
    "decoder": {
        "upscaled_channels": [8, 8],
        "depth": 1,
        "num_heads": 2,
        "mlp_dim": 16,
        "detection_channels": 8,
    },
    **TRAINING,
}
"""In the place of the network of the papers."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """``downloads`` with the archives of all data sets, ``data`` with the domain folders made of them."""
    root = tmp_path_factory.mktemp("tasks")
    (root / "downloads").mkdir()
    for letter in "HR":
        write_mitoem(root / "downloads", letter)
    write_lucchi(root / "downloads")
    write_zip(root / "downloads/Dataset008_ME2-Stem.zip", stem_files())
    for name in PUBLISHED:
        line = ["--dataset", name, "--archives", str(root / "downloads"), "--output", str(root / "data" / name)]
        assert main(line) == 0
    return root


def _files(task, *overlays):
    return ["configs/train.json", "configs/presets/paper.json", f"configs/tasks/{task}.json", *overlays]


@pytest.mark.parametrize("task", TASKS)
def test_a_task_names_prepared_data_of_one_pixel_size(task, root, in_root):
    assert task_domains(task) == TASKS[task]
    parser = ConfigParser()
    parser.read_config(_files(task))
    parser.update({"bundle_root": str(root), "points": "points_15.json", "max_points": 64})
    assert parser.get_parsed_content("resolved_pixel_size") == 8.0
    source, target = TASKS[task]
    for name, folder in (("source#data", source), ("train#dataset#data", target)):
        items = parser.get_parsed_content(name)
        assert items and all(item["image"].startswith(str(root / "data" / folder)) for item in items)
    assert parser["image_encoder"]["_target_"] == "bundle.networks.ViTEncoder"
    assert parser["points"] == "points_15.json" and "points" not in ConfigParser.load_config_file(_files(task)[2])


@pytest.mark.slow
def test_a_task_from_the_source_to_the_scores(root, tmp_path, in_root):
    task, given = (
        "mitoem_h_to_lucchi",
        {**SMALL, "bundle_root": str(root), "work_dir": str(tmp_path / "work"), "logging_file": False},
    )
    source, adapted = str(tmp_path / "source.pt"), str(tmp_path / "adapted.pt")
    monai.bundle.run(config_file=_files(task, "configs/source.json"), **given, checkpoint=source)
    monai.bundle.run(
        config_file=_files(task), **given, points="points_15.json", init_checkpoint=source, checkpoint=adapted
    )
    monai.bundle.run(
        config_file=_files(task, "configs/evaluate.json"),
        **given,
        checkpoint=adapted,
        output_dir=str(tmp_path / "eval"),
    )
    table = pd.read_csv(tmp_path / "eval/metrics.csv")
    assert len(table) == 2 * 2 + 2
    assert set(table["native_pixel_size"]) == {5.0}
    assert table["native_dice"].notna().all()


def test_one_command_compares_the_rows_of_a_task(root, tmp_path, in_root, monkeypatch):
    started = []
    monkeypatch.setattr(Comparison, "execute", lambda self: started.append(self) or _stop())
    line = ["compare", "--task", "mitoem_h_to_lucchi", "--data", str(root / "downloads"), "--run", str(tmp_path)]
    monkeypatch.setattr("sys.argv", line)
    assert compare.main() == 1
    (comparison,) = started
    assert comparison.cells.overlays == ("presets/paper.json", "tasks/mitoem_h_to_lucchi.json")
    assert (comparison.source, comparison.target, comparison.pixel_size) == ("mitoem-h", "lucchi-pp", 8.0)
    comparison.prepare("lucchi-pp")
    folder = tmp_path / "domains/lucchi-pp/seed0"
    assert {path.name for path in folder.iterdir()} >= {"points_15.json", "points_100.json", "native_labels"}


def _stop():
    raise SettingError("far enough")


def test_tasks_that_cannot_be(in_root, monkeypatch, capsys, tmp_path):
    with pytest.raises(MendableError, match=r"--task lucchi: expected one of mitoem_h_to_lucchi, .*mitoem_r_to_h$"):
        task_domains("lucchi")
    for options in (["--task", "mitoem_r_to_h"], ["--task", "x", "--data", str(tmp_path)]):
        monkeypatch.setattr("sys.argv", ["compare", *options])
        assert compare.main() == 2
        assert "--task" in capsys.readouterr().err


def test_a_comparison_without_a_task_reads_folders(tmp_path):
    cells = Cells(overlays=(), common={}, jobs=1)
    comparison = Comparison(tmp_path, tmp_path / "d", "a", "b", tmp_path / "none", {"a": 5.0}, 20.0, 0, cells)
    with pytest.raises(MendableError, match="expected train/images"):
        comparison.prepare("a")
