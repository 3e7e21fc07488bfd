import pytest
import torch
from ignite.engine import Engine
from torch import nn

from bundle.errors import DataError
from bundle.handlers import LoadWeights, SaveWeights


def network(seed=0, width=4):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.Linear(width, 1))


def saved(path, module):
    engine = Engine(lambda *_: None)
    SaveWeights(path, module).attach(engine)
    engine.run([0])
    return path


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_what_was_saved_is_loaded(tmp_path):
    one, other = network(0), network(1)
    LoadWeights(saved(tmp_path / "new" / "model.pt", one), other).attach(Engine(lambda *_: None))
    assert equal(one, other)


def test_a_training_that_fails_leaves_the_older_file_alone(tmp_path):
    path = saved(tmp_path / "model.pt", network(0))
    before = path.read_bytes()

    def fail(*_):
        raise RuntimeError("it went wrong")

    engine = Engine(fail)
    SaveWeights(path, network(1)).attach(engine)
    with pytest.raises(RuntimeError):
        engine.run([0])
    assert path.read_bytes() == before


def test_weights_of_another_network_are_refused_and_nothing_is_changed(tmp_path):
    path = saved(tmp_path / "model.pt", network(width=5))
    module, untouched = network(0), network(0)
    with pytest.raises(ValueError, match=r"model\.pt.*weights of another network.*0\.weight \(5x3, not 4x3\)"):
        LoadWeights(path, module).attach(Engine(lambda *_: None))
    assert equal(module, untouched)


def test_a_checkpoint_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"none\.pt: no such checkpoint"):
        LoadWeights(tmp_path / "none.pt", network())


def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(tmp_path):
    module = network()
    with torch.no_grad():
        module[0].weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"0\.weight"):
        saved(tmp_path / "model.pt", module)
    assert not (tmp_path / "model.pt").exists()
    torch.save(module.state_dict(), tmp_path / "bad.pt")
    with pytest.raises(ValueError, match=r"bad\.pt: 0\.weight.*diverged"):
        LoadWeights(tmp_path / "bad.pt", network()).attach(Engine(lambda *_: None))
