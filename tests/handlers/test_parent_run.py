"""Stages find the run of the whole way by its name."""

import mlflow
import pytest

from bundle.handlers.parent_run import TAG, nest


@pytest.fixture
def client(tmp_path):
    return mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlruns.db")


@pytest.fixture
def experiment(client, tmp_path):
    return client.create_experiment("prefer-das", artifact_location=str(tmp_path / "artifacts"))


def test_stages_of_one_name_share_a_parent_and_others_do_not(client, experiment):
    stages = [client.create_run(experiment, run_name=name) for name in ("source", "adapt", "other")]
    first, second = (nest(client, run, 'b\'s "way"') for run in stages[:2])
    other = nest(client, stages[2], "c")
    assert first == second != other
    assert client.get_run(stages[1].info.run_id).data.tags["mlflow.parentRunId"] == first
    assert client.get_run(first).info.run_name == 'b\'s "way"'


def test_a_run_that_only_has_the_name_is_no_parent(client, experiment):
    namesake, stage = (client.create_run(experiment, run_name=name) for name in ("way", "adapt"))
    assert nest(client, stage, "way") != namesake.info.run_id


def test_the_oldest_of_several_counts_and_is_open_again(client, experiment):
    parents = [client.create_run(experiment, start_time=start, tags={TAG: "way"}) for start in (2000, 1000)]
    for parent in parents:
        client.set_terminated(parent.info.run_id)
    found = nest(client, client.create_run(experiment), "way")
    assert found == parents[1].info.run_id
    assert client.get_run(found).info.status == "RUNNING"
