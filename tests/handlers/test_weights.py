import errno
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from bundle.errors import DataError, StorageError
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


def pair(path, module, **settings):
    """Train nothing, and save weights with their overlay."""
    engine = Engine(lambda *_: None)
    SaveWeights(path, module, {"max_points": 8, **settings}).attach(engine)
    engine.run([0])
    return path


def load(path, **settings):
    module = network(9)
    LoadWeights(path, module, {"max_points": 8, **settings}).attach(Engine(lambda *_: None))
    return module


def test_weights_load_with_the_settings_that_lie_beside_them(tmp_path):
    path = pair(tmp_path / "models" / "model.pt", network(0), crop_size=[32, 32])
    assert equal(load(path, crop_size=[32, 32]), network(0))
    with pytest.raises(DataError, match=r"model\.pt: its training had crop_size \[32, 32\], not \[64, 32\]\. Add"):
        load(path, crop_size=[64, 32])


def test_other_settings_are_refused_before_there_is_a_trainer(tmp_path):
    path = pair(tmp_path / "model.pt", network(0), crop_size=[32, 32])
    with pytest.raises(DataError, match=r"its training had crop_size"):
        LoadWeights(path, network(9), {"max_points": 8, "crop_size": [64, 32]})


@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_what_power_loss_leaves_is_an_old_pair_a_new_pair_or_no_pair(tmp_path, monkeypatch, renamed):
    """The overlay of the second training has another max_points, under which the first one's weights must not run."""
    path = pair(tmp_path / "model.pt", network(0))
    replace, done = Path.replace, []

    def cut_off(old, new):
        if len(done) == renamed:
            raise KeyboardInterrupt
        done.append(new.name)
        return replace(old, new)

    monkeypatch.setattr(Path, "replace", cut_off)
    with suppress(KeyboardInterrupt):
        pair(path, network(1), max_points=16)
    monkeypatch.undo()
    assert done == ["model.json", "model.pt"][:renamed], "the weights come last"
    assert {file.name for file in tmp_path.iterdir()} == {"model.json", "model.pt"}
    if renamed == 1:
        for size in (8, 16):
            with pytest.raises(DataError, match=r"model\.json: is of other weights than those in model\.pt"):
                load(path, max_points=size)
    else:
        assert equal(load(path, max_points=8 * (renamed or 1)), network(renamed // 2))


def test_on_a_full_disk_neither_is_replaced(tmp_path, monkeypatch):
    path = pair(tmp_path / "model.pt", network(0))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(StorageError, match=r"model\.json: cannot be written.*with --resume True"):
        pair(path, network(1))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_weights_that_are_not_finite_leave_the_old_pair(tmp_path):
    path = pair(tmp_path / "model.pt", network(0))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    bad = network(1)
    with torch.no_grad():
        bad[0].weight[0, 0] = float("inf")
    with pytest.raises(DataError):
        pair(path, bad)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_file_of_another_kind_in_the_overlays_place_is_refused_before_the_training(tmp_path):
    (tmp_path / "model.json").write_text('{"mine": 1}')
    steps = []
    engine = Engine(lambda *_: steps.append(1))
    with pytest.raises(DataError, match=r"model\.json: lies beside weights"):
        SaveWeights(tmp_path / "model.pt", network(), {"max_points": 8}).attach(engine)
    assert steps == [] and (tmp_path / "model.json").read_text() == '{"mine": 1}'
