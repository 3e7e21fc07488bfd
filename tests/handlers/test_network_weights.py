import pytest
import torch
from ignite.engine import Engine
from torch import nn

from bundle.data.errors import DataError
from bundle.handlers.network_weights import NetworkWeights


def _start(handler):
    engine = Engine(lambda engine, batch: None)
    handler.attach(engine)
    engine.run([0])


@pytest.mark.parametrize("nested", [False, True])
def test_weights_arrive(tmp_path, nested):
    trained, network = nn.Linear(2, 3), nn.Linear(2, 3)
    state = trained.state_dict()
    torch.save({"model": state} if nested else state, tmp_path / "model.pt")
    _start(NetworkWeights(tmp_path / "model.pt", network))
    assert torch.equal(network.weight, trained.weight)


def test_missing_file_is_refused_at_once(tmp_path):
    with pytest.raises(DataError, match=r"none\.pt: no such checkpoint"):
        NetworkWeights(tmp_path / "none.pt", nn.Linear(2, 3))


@pytest.mark.parametrize("content", [nn.Linear(2, 4).state_dict(), {"other": torch.zeros(1)}, torch.zeros(2), b"text"])
def test_what_does_not_fit_is_named_in_one_line(tmp_path, content):
    path = tmp_path / "model.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(DataError) as caught:
        _start(NetworkWeights(path, nn.Linear(2, 3)))
    assert "model.pt: does not fit the network" in str(caught.value) and "\n" not in str(caught.value)
