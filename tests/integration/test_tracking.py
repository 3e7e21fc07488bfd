"""Runs as MLflow's client reads them back."""

import re

import mlflow
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from bundle.handlers.logged_network import example
from tests.integration.commands import ADAPT, EVALUATE, ROOT, SOURCE, TINY, refusal, run_here


@pytest.fixture(scope="module")
def runs(domain_pair, source_weights, tmp_path_factory):
    """A source training, an adaptation with validations and two evaluations; the client, and the runs by name."""
    folder = tmp_path_factory.mktemp("tracking")
    uri = f"sqlite:///{folder}/mlruns.db"
    common = {"tracking": "mlflow", "tracking_uri": uri, "output_dir": str(folder / "out"), "work_dir": str(folder)}
    pair = {"source_dir": str(domain_pair.source), "dataset_dir": str(domain_pair.target)}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        run_here(SOURCE, **common, source_dir=pair["source_dir"], checkpoint=str(folder / "source.pt"), max_epochs=2)
        adapt = {"points": "points_15.json", "init_checkpoint": str(source_weights), "checkpoint": str(folder / "a.pt")}
        validation = {"val_split": "test", "val_points": "points_100.json", "val_interval": 1, "max_epochs": 2}
        run_here(ADAPT, **common, **pair, **adapt, **validation)
        for run_name in ("evaluate-1", "evaluate-2"):
            run_here(EVALUATE, **common, **pair, checkpoint=str(folder / "a.pt"), run_name=run_name)
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("prefer-das")
    found = client.search_runs(experiment.experiment_id)
    return client, {run.info.run_name: run for run in found}, folder


def stage(runs, name):
    (run,) = (run for run_name, run in runs[1].items() if run_name.startswith(name))
    return run


def test_each_command_is_a_run_that_ended(runs):
    stages = sorted(name.split("-")[0] for name in runs[1])
    assert stages == ["adapt", "evaluate", "evaluate", "source", "whole"]
    assert {run.info.status for run in runs[1].values()} == {"FINISHED"}


def test_stages_are_nested_below_one_run(runs):
    parent = stage(runs, "whole-way")
    children = {run.info.run_name for run in runs[1].values() if run.data.tags.get("mlflow.parentRunId")}
    assert children == set(runs[1]) - {"whole-way"}
    assert {runs[1][name].data.tags["mlflow.parentRunId"] for name in children} == {parent.info.run_id}
    assert parent.data.tags["prefer_das.parent_run"] == "whole-way"


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


def test_validations_are_curves_and_pictures_of_the_training(runs):
    run = stage(runs, "adapt")
    history = runs[0].get_metric_history(run.info.run_id, "val_mean_dice")
    assert [point.step for point in history] == [1, 2]
    rates = runs[0].get_metric_history(run.info.run_id, "lr_group_0")
    assert [point.step for point in rates] == [1, 2, 3, 4]
    assert rates[-1].value < rates[0].value
    images = [file.path for file in runs[0].list_artifacts(run.info.run_id, "images")]
    drawn = {tuple(re.split("[%+]", path.removeprefix("images/"))[:3:2]) for path in images if path.endswith(".png")}
    assert {("test_0_automatic", "1"), ("test_0_automatic", "2"), ("test_1_interactive", "2")} <= drawn


@pytest.mark.parametrize(("name", "weights"), [("source", "source.pt"), ("adapt", "a.pt")])
def test_the_model_loads_back(runs, name, weights, tmp_path):
    """What is loaded gives the output of the weights that the stage wrote, and says what goes in and comes out."""
    client, folder = runs[0], runs[2]
    run = stage(runs, name)
    (output,) = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
        loaded = mlflow.pyfunc.load_model(model.model_uri)
    channels = example((32, 32))
    network = tiny_network(folder / weights)
    with torch.no_grad():
        expected = network(torch.from_numpy(channels)).numpy()
    np.testing.assert_allclose(loaded.predict(channels), expected, rtol=1e-5, atol=1e-6)
    assert loaded.metadata.signature.inputs.inputs[0].shape == (-1, 3, -1, -1)
    assert loaded.metadata.signature.outputs.inputs[0].shape == (-1, 2, -1, -1)
    np.testing.assert_array_equal(loaded.input_example, channels)


def tiny_network(weights):
    """The network of these tests with weights of a file."""
    parser = ConfigParser()
    parser.read_config([str(ROOT / name) for name in ADAPT])
    parser.update(TINY)
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(weights, weights_only=True))
    return network.eval()


def test_a_server_that_is_not_there_is_told_before_work(settings):
    tracking = {"tracking": "mlflow", "tracking_uri": "http://127.0.0.1:9", "output_dir": settings["work_dir"]}
    line = refusal(lambda: run_here(ADAPT, **settings, **tracking))
    assert line.startswith("tracking_uri http://127.0.0.1:9: ")
    assert line.endswith("start the server, or leave out --tracking")


def test_evaluation(runs):
    run = stage(runs, "evaluate-2")
    assert run.data.params["checkpoint"].endswith("a.pt")
    for mode in ("automatic", "interactive"):
        assert all(0 <= run.data.metrics[f"{mode}_{name}"] <= 1 for name in ("dice", "iou", "aji", "pq"))
    files = {file.path for file in runs[0].list_artifacts(run.info.run_id)}
    assert {"metrics.csv", "health.csv"} <= files
    pictures = [file.path for file in runs[0].list_artifacts(run.info.run_id, "pictures")]
    assert "pictures/test_0_interactive.png" in pictures
