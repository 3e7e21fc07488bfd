import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.handlers import StatsHandler
from monai.transforms import AsDiscreted, Compose, LoadImaged
from PIL import Image

from bundle import keys
from bundle.errors import DataError, SettingError
from bundle.handlers.evaluation_table import EvaluationTable
from bundle.metrics import DETAILS, SCORES

TRUTH = np.zeros((20, 30), np.uint8)  # 20 rows, 30 columns
TRUTH[0:10, 0:10] = 255
BRIGHT = np.zeros((20, 30), np.uint8)
BRIGHT[0:10, 0:5] = 200  # half of the true 100 px
BRIGHT[15:18, 25:29] = 200  # 12 px of dust
BLACK = np.zeros((20, 30), np.uint8)


class _Threshold(torch.nn.Module):
    """Takes what is bright for a mitochondrion: logits of the first channel."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image[:, :1] - 100.0


class _Recorder:
    """Stands where a logger stands: sees the metrics of the state at the end of the epoch."""

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        self.metrics = dict(engine.state.metrics)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    pictures = {"bright": BRIGHT, "perfect": TRUTH, "black": BLACK, "truth": TRUTH, "no_truth": BLACK}
    for name, picture in pictures.items():
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    return {name: str(tmp_path / f"{name}.png") for name in pictures}


def _item(files: dict[str, str], image: str, label: str | None = None, mode: str | None = None) -> dict[str, str]:
    item = {keys.IMAGE: files[image]}
    item |= {keys.LABEL: files[label]} if label else {}
    return item | ({keys.MODE: mode} if mode else {})


def _evaluator(items: list[dict], handlers: list, batch_size: int = 2, decollate: bool = True) -> SupervisedEvaluator:
    load = LoadImaged((keys.IMAGE, keys.LABEL), reader="ITKReader", ensure_channel_first=True, allow_missing_keys=True)
    return SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(items, load), batch_size=batch_size),
        network=_Threshold(),
        postprocessing=Compose([AsDiscreted(keys.PRED, threshold=0.0)]) if decollate else None,
        val_handlers=handlers,
        decollate=decollate,
    )


def _both_modes(files: dict[str, str]) -> list[dict]:
    return [
        _item(files, "bright", "truth", "automatic"),
        _item(files, "perfect", "truth", "interactive"),
        _item(files, "black", "no_truth", "automatic"),
        _item(files, "black", "no_truth", "interactive"),
        _item(files, "black", "truth", "automatic"),
    ]


def test_table_of_a_real_evaluation(files: dict[str, str], tmp_path: Path) -> None:
    table, recorder = EvaluationTable(tmp_path / "new" / "out"), _Recorder()
    _evaluator(_both_modes(files), [table, recorder]).run()

    frame = pd.read_csv(tmp_path / "new" / "out" / "metrics.csv")
    assert (
        frame["image"].tolist() == [files[n] for n in ("bright", "perfect", "black", "black", "black")] + ["mean"] * 2
    )
    assert frame["mode"].tolist()[:5] == ["automatic", "interactive", "automatic", "interactive", "automatic"]
    # without the dust: 50 px predicted, all true, of 100; IoU exactly 0.5 is no match
    scores = frame.loc[0, ["dice", "iou", "aji", "pq", "empty", "instances", "foreground_share"]]
    assert scores.tolist() == pytest.approx([100 / 150, 0.5, 0.5, 0.0, 0, 1, 50 / 600])
    assert frame["empty"].tolist()[:5] == [0, 0, 1, 1, 0]
    assert frame["dice"].tolist()[1:5] == [1, 1, 1, 0]

    means = frame[frame["image"] == "mean"].set_index("mode")
    assert means.loc["automatic", "iou"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert means.loc["interactive", "iou"] == 1
    assert recorder.metrics["automatic_iou"] == pytest.approx(0.5)
    assert set(recorder.metrics) == {f"{m}_{s}" for m in means.index for s in (*SCORES, *DETAILS)}
    assert not list(tmp_path.rglob("*.tmp"))


def test_min_size_and_connectivity_reach_the_scores(files: dict[str, str], tmp_path: Path) -> None:
    _evaluator([_item(files, "bright", "truth")], [EvaluationTable(tmp_path, min_size=11)]).run()
    row = pd.read_csv(tmp_path / "metrics.csv").iloc[0]
    assert row["iou"] == pytest.approx(50 / 112)
    assert row["instances"] == 2
    assert row["mode"] == "automatic", "the mode of an item that names none"


def test_without_labels_scores_are_blank_and_health_is_told(files: dict[str, str], tmp_path: Path) -> None:
    recorder = _Recorder()
    items = [_item(files, "bright", mode="automatic"), _item(files, "black", mode="automatic")]
    _evaluator(items, [EvaluationTable(tmp_path), recorder]).run()
    frame = pd.read_csv(tmp_path / "metrics.csv")
    assert frame[["dice", "iou", "aji", "pq", "empty"]].isna().all(axis=None)
    assert frame["instances"].tolist() == [1, 0, 0.5]
    assert recorder.metrics == {}
    health = pd.read_csv(tmp_path / "health.csv").set_index("feature")
    assert health.loc["area_px", ["pred_count", "pred_median"]].tolist() == [1, 50]
    assert health["ks"].isna().all()


def test_health_holds_predictions_against_the_source(files: dict[str, str], tmp_path: Path) -> None:
    table = EvaluationTable(tmp_path, pixel_size=5.0, source_labels=[files["truth"], files["no_truth"]])
    _evaluator(_both_modes(files), [table]).run()
    health = pd.read_csv(tmp_path / "health.csv").set_index(["mode", "feature"])
    assert health.loc[("automatic", "area_px"), "pred_median"] == 50
    assert health.loc[("automatic", "area_px"), "source_median"] == 100
    assert health.loc[("automatic", "area_px"), "ks"] == 1
    assert health.loc[("interactive", "area_nm2"), "pred_median"] == 100 * 25
    assert health.loc[("interactive", "area_nm2"), "ks"] == 0
    assert health.loc[("interactive", "foreground_share"), "source_count"] == 2
    assert health.loc[("interactive", "foreground_share"), "ks"] == 0


def test_source_may_have_another_pixel_size(files: dict[str, str], tmp_path: Path) -> None:
    table = EvaluationTable(tmp_path, pixel_size=5.0, source_labels=[files["truth"]], source_pixel_size=10.0)
    _evaluator([_item(files, "perfect")], [table]).run()
    health = pd.read_csv(tmp_path / "health.csv").set_index("feature")
    assert health.loc["area_nm2", ["pred_median", "source_median", "ks"]].tolist() == [2500, 10000, 1]
    assert health.loc["area_px", "ks"] == 0


def test_empty_images_are_counted_in_the_log_and_loggers_after_the_table_print_the_means(
    files: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    evaluator = _evaluator(
        _both_modes(files), [EvaluationTable(tmp_path), StatsHandler(iteration_log=False, name=None)]
    )
    evaluator.logger.setLevel(logging.INFO)
    with caplog.at_level(logging.INFO):
        evaluator.run()
    assert "automatic: 1 of 3 images have neither truth nor prediction" in caplog.text
    assert "interactive: 1 of 2 images have neither truth nor prediction" in caplog.text
    assert "automatic_aji: 0.5000" in caplog.text


def test_a_second_run_starts_afresh_and_replaces_the_files(files: dict[str, str], tmp_path: Path) -> None:
    evaluator = _evaluator(_both_modes(files), [EvaluationTable(tmp_path)], batch_size=1)
    evaluator.run()
    first = (tmp_path / "metrics.csv").read_text()
    evaluator.run()
    assert (tmp_path / "metrics.csv").read_text() == first


def test_nothing_predicted_anywhere_still_writes_both_tables(files: dict[str, str], tmp_path: Path) -> None:
    _evaluator([_item(files, "black", "truth")], [EvaluationTable(tmp_path, source_labels=[files["truth"]])]).run()
    assert pd.read_csv(tmp_path / "metrics.csv")["aji"].tolist() == [0, 0]
    health = pd.read_csv(tmp_path / "health.csv").set_index("feature")
    assert health.loc["solidity", "pred_count"] == 0
    assert health.loc["instances_per_megapixel", "ks"] == 1


def test_errors_say_what_to_do(files: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"1 of 2 source_labels.*absent\.png"):
        EvaluationTable(tmp_path, source_labels=[files["truth"], str(tmp_path / "absent.png")])
    with pytest.raises(TypeError, match="decollate=True"):
        _evaluator([_item(files, "bright", "truth")], [EvaluationTable(tmp_path)], decollate=False).run()


def test_source_labels_are_read_through_the_check_of_headers(files: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "secret.raw").write_bytes(bytes(600))
    detached = tmp_path / "label.nrrd"
    detached.write_text("NRRD0004\ntype: uchar\ndimension: 2\nsizes: 30 20\nencoding: raw\ndata file: secret.raw\n\n")
    table = EvaluationTable(tmp_path / "out", source_labels=[str(detached)])
    with pytest.raises(DataError, match=r"label\.nrrd"):
        _evaluator([_item(files, "bright", "truth")], [table]).run()
