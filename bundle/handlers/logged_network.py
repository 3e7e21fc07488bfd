"""A trained network as a model of MLflow: it loads without this bundle, with a signature and an example."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path

import mlflow.pytorch
import numpy as np
import torch
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Run
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from torch import nn

NAME = "model"


def log_network(network: nn.Module, crop_size: Sequence[int], run: Run, client: MlflowClient) -> str:
    """Log a network to a run as TorchScript.

    Its input are prompt channels (B,3,X,Y) of normalised images, multiples of the encoder's stride; its output
    (B,2,X,Y) logits of the mask and the density. The example is noise with one click, so that no image leaves with
    the model.

    Args:
        network: is copied, to the CPU.
        crop_size: (X,Y) of the example in pixels.
        run: of a training.
        client: of the server or database that has the run.

    Returns:
        The model's URI, for ``mlflow.pyfunc.load_model`` and ``mlflow.pytorch.load_model``.
    """
    scripted = torch.jit.script(copy.deepcopy(network).cpu().eval())
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, 3, -1, -1))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, 2, -1, -1))]),
    )
    version = torch.__version__.partition("+")[0]
    # Not mlflow.pytorch.log_model: it takes the server's address from a variable of the whole process.
    model = client.create_logged_model(run.info.experiment_id, name=NAME, source_run_id=run.info.run_id)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / NAME
        mlflow.pytorch.save_model(
            scripted,
            path,
            mlflow_model=Model(run_id=run.info.run_id, model_id=model.model_id),
            signature=signature,
            input_example=example(crop_size),
            pip_requirements=[f"mlflow=={mlflow.__version__}", f"torch=={version}", f"numpy=={np.__version__}"],
            serialization_format="pickle",  # MLflow's word for all but torch.export; TorchScript it saves as such
        )
        client.log_model_artifacts(model.model_id, str(path))
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_uri)


def example(crop_size: Sequence[int]) -> np.ndarray:
    """Prompt channels (1,3,X,Y) float32: noise of mean 0 and variance 1, and a foreground click in the middle."""
    width, height = crop_size
    channels = np.zeros((1, 3, width, height), np.float32)
    channels[0, 0] = np.random.default_rng(0).normal(size=(width, height))
    channels[0, 1, width // 2, height // 2] = 1
    return channels
