"""Runs as MLflow's client reads them back."""

import mlflow
import pytest

from tests.integration.commands import ADAPT, EVALUATE, ROOT, SOURCE, run_here


@pytest.fixture(scope="module")
def runs(domain_pair, source_weights, tmp_path_factory):
    """A source training, an adaptation and two evaluations in one database; the client, and the runs by stage."""
    folder = tmp_path_factory.mktemp("tracking")
    uri = f"sqlite:///{folder}/mlruns.db"
    common = {"tracking": "mlflow", "tracking_uri": uri, "output_dir": str(folder / "out"), "work_dir": str(folder)}
    pair = {"source_dir": str(domain_pair.source), "dataset_dir": str(domain_pair.target)}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        run_here(SOURCE, **common, source_dir=pair["source_dir"], checkpoint=str(folder / "source.pt"), max_epochs=2)
        adapt = {"points": "points_15.json", "init_checkpoint": str(source_weights), "checkpoint": str(folder / "a.pt")}
        run_here(ADAPT, **common, **pair, **adapt)
        for run_name in ("evaluate-1", "evaluate-2"):
            run_here(EVALUATE, **common, **pair, checkpoint=str(folder / "a.pt"), run_name=run_name)
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("prefer-das")
    found = client.search_runs(experiment.experiment_id)
    return client, {run.info.run_name: run for run in found}


def stage(runs, name):
    (run,) = (run for run_name, run in runs[1].items() if run_name.startswith(name))
    return run


def test_each_command_is_a_run_that_ended(runs):
    stages = sorted(name.split("-")[0] for name in runs[1])
    assert stages == ["adapt", "evaluate", "evaluate", "source"]
    assert {run.info.status for run in runs[1].values()} == {"FINISHED"}


def test_source_training(runs):
    run = stage(runs, "source")
    assert run.data.params["max_epochs"] == "2"
    assert run.data.params["loss_weights.seg"] == "1.0"
    history = runs[0].get_metric_history(run.info.run_id, "loss_det")
    assert [point.step for point in history] == [1, 2, 3, 4]
    assert all(point.value > 0 for point in history)
    weighted = run.data.metrics["loss_seg"] + 10 * run.data.metrics["loss_det"]
    assert run.data.metrics["loss"] == pytest.approx(weighted, rel=1e-4)


def test_adaptation(runs):
    run = stage(runs, "adapt")
    assert run.data.params["points"] == "points_15.json"
    assert run.data.params["crop_size"] == "[32, 32]"
    assert run.data.metrics.keys() >= {"loss_source_seg", "loss_source_det", "loss_seg", "loss_det", "loss_pcl"}
    assert {"pseudo/believed", "pseudo/foreground", "pseudo/estimated_points"} <= run.data.metrics.keys()
    assert 0 <= run.data.metrics["pseudo/believed"] <= 1


def test_evaluation(runs):
    run = stage(runs, "evaluate-2")
    assert run.data.params["checkpoint"].endswith("a.pt")
    for mode in ("automatic", "interactive"):
        assert all(0 <= run.data.metrics[f"{mode}_{name}"] <= 1 for name in ("dice", "iou", "aji", "pq"))
    files = {file.path for file in runs[0].list_artifacts(run.info.run_id)}
    assert {"metrics.csv", "health.csv"} <= files
    pictures = [file.path for file in runs[0].list_artifacts(run.info.run_id, "pictures")]
    assert "pictures/test_0_interactive.png" in pictures
