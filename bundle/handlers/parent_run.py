"""The MLflow run of a whole way, below which the runs of its stages are nested."""

from __future__ import annotations

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

TAG = "prefer_das.parent_run"
"""Tag of a parent run. Its value is the name by which the stages, each a process of its own, find it."""


def nest(client: MlflowClient, run: Run, name: str) -> str:
    """Nest a run below the parent run of a name, which is made where its experiment has none, and open the parent.

    The oldest of several counts, so that two stages that begin at once end up below one.

    Args:
        client: of the server or database that has the run.
        run: of a stage.
        name: of the parent.

    Returns:
        The parent's id.
    """
    experiment = run.info.experiment_id
    found = _oldest(client, experiment, name)
    if found is None:
        own = client.create_run(experiment, tags={TAG: name, MLFLOW_RUN_NAME: name}).info.run_id
        found = _oldest(client, experiment, name) or own
        if found != own:
            client.delete_run(own)
    client.update_run(found, status="RUNNING")
    client.set_tag(run.info.run_id, MLFLOW_PARENT_RUN_ID, found)
    return found


def _oldest(client: MlflowClient, experiment: str, name: str) -> str | None:
    parents = client.search_runs([experiment], f"tags.`{TAG}` LIKE '%'", order_by=["attributes.start_time ASC"])
    return next((parent.info.run_id for parent in parents if parent.data.tags[TAG] == name), None)
