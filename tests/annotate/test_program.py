"""What ``python -m scripts.annotate`` says when it cannot start."""

import socket

import pytest
import torch
from monai.bundle import ConfigParser

from bundle.annotate.request_guard import LOOPBACK
from bundle.handlers import shipped_weights
from scripts.annotate import main, names_of, parser
from tests.integration.commands import ROOT


@pytest.fixture
def fails(domain, tmp_path, capsys):
    """Start with changed options; gives the one line that it ends with."""
    config = ConfigParser()
    config.read_config(ROOT / "configs" / "inference.json")
    torch.save(config.get_parsed_content("network_def").state_dict(), tmp_path / "network.pt")
    good = {"--data": domain, "--checkpoint": tmp_path / "network.pt", "--port": 0, "--store": tmp_path / "s.sqlite"}

    def start(**changes):
        options = {**good, **{f"--{name}": value for name, value in changes.items()}}
        assert main([str(part) for pair in options.items() for part in pair]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return start


def test_data_and_network(fails, domain, tmp_path):
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no weights")
    for changes, text in (
        (
            {"data": tmp_path / "nowhere"},
            "nowhere: no such folder; python -m scripts.prepare_data makes domain folders",
        ),
        ({"split": "train"}, "no split 'train' with images in it; it has: training, test"),
        ({"split": "validation"}, "no split 'validation' with images in it; it has: training, test"),
        ({"checkpoint": tmp_path / "nowhere.pt"}, "nowhere.pt: no such checkpoint; train one first, or name another"),
        ({"checkpoint": tmp_path / "text.pt"}, "text.pt: no checkpoint that torch can read"),
        ({"checkpoint": tmp_path / "other.pt"}, "other.pt: holds the weights of another network"),
        ({"config": tmp_path / "nowhere.json"}, "nowhere.json"),
        ({"points": "clicks.csv"}, "clicks.csv: clicks are saved as JSON"),
        ({"points": "../points.json"}, "lies outside of"),
        ({"store": domain / "datalist.json"}, "is no store of judgements"),
    ):
        assert text in fails(**changes)


def test_what_it_starts_with_and_where_it_learns(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped_weights, "MODELS", tmp_path)
    options = parser().parse_args(["--data", "data/target"])
    assert options.checkpoint == tmp_path / "model_synthetic.pt"
    assert options.trained == ROOT / "models" / "preferred.pt"
    (tmp_path / "adapted.pt").touch()
    assert parser().parse_args(["--data", "data/target"]).checkpoint == tmp_path / "adapted.pt"


def test_port_in_use(fails):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port} cannot be listened on (Address already in use)" in fails(port=port)
    assert "cannot be listened on" in fails(port=99999)


@pytest.mark.parametrize("token", ["", "short", "  ", "long enough\n", "long enough\udc80"])
def test_tokens_that_are_none(fails, token):
    assert "expected 8 or more characters that can be printed; leave it out for a random one" in fails(token=token)


def test_names_of_the_server():
    assert names_of("127.0.0.1") == names_of("localhost") == LOOPBACK
    assert set(names_of("::1")) == set(LOOPBACK) and "127.0.0.2" in names_of("127.0.0.2")
    assert names_of("0.0.0.0") is names_of("lab.example") is names_of("10.0.0.1") is None
