"""Checkpoints: weights, and the state from which a run is resumed."""

from __future__ import annotations

import io
import logging
import re
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from ignite.engine import Engine

from bundle.handlers.resume import STATE_FILE, Resume
from bundle.handlers.weights import load_matching
from bundle.state_files import read_state
from scripts.fuzzing.json_mutations import NUMBERS, TEXTS
from scripts.fuzzing.seeds import damage, plain, zip_seed
from scripts.fuzzing.target import BrokenPromise, Target, refusal
from scripts.fuzzing.tiny_network import tiny_network

WEIGHTS = "weights.pt"
TOKENS = (
    *(
        b"cos\nsystem\n(S'true'\ntR.",
        b"cposix\nsystem\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch\nFloatStorage\n",
    ),
    *(
        b"ctorch\nComplexFloatStorage\n",
        b"ctorch._utils\n_rebuild_sparse_tensor\n",
        b"ctorch._utils\n_rebuild_meta_tensor\n",
    ),
    *(
        b"X\x03\x00\x00\x00cpu",
        b"J\xff\xff\xff\x7f",
        b"K\x00",
        b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x80\x02",
        b".",
    ),
    *(b"(", b"t", b"R", b"Q", b"}", b"u", b"q\x01", b"h\x01", b"r\xff\xff\xff\x7f", b"PK\x05\x06", b"big", b"data.pkl"),
)
ODD: tuple[Callable[[torch.Tensor], Any], ...] = (
    lambda t: t.to_sparse(),
    lambda t: t.reshape(1, -1).to_sparse_csr(),
    lambda t: t.to(torch.complex64),
    lambda t: t.to(torch.float16),
    lambda t: t.to(torch.bfloat16),
    lambda t: t.to(torch.float8_e4m3fn),
    lambda t: t.to(torch.int64),
    lambda t: t.to(torch.bool),
    lambda t: t.to("meta"),
    lambda t: torch.full_like(t, float("nan")),
    lambda t: torch.full_like(t, float("inf")),
    lambda t: torch.full_like(t, 3e38),
    lambda t: torch.nn.Parameter(t) if t.is_floating_point() else t,
    lambda t: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.qint8),
    lambda t: t[..., :0] if t.ndim else t,
    lambda t: t.unsqueeze(0),
    lambda t: t.reshape(-1)[:1].expand(10**9),
    lambda t: t.reshape(-1)[:1].expand(t.numel()).reshape(t.shape),
    lambda t: t.tolist(),
    lambda t: [t],
    lambda t: {"x": t},
    lambda t: None,
)
"""What may stand in the place of a tensor."""


class CheckpointTarget(Target):
    """Files of ``torch.save``.

    Args:
        folder: as of :class:`Target`.
    """

    group = "files"
    file: str

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.network = tiny_network()
        self.before = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        self.sound = self.make()
        content = saved(self.sound)
        self.seeds = [zip_seed(self.file, content), zip_seed(self.file, content, kept=("data.pkl", "version"))]
        self.seeds.append(plain(self.file, old_form(torch.arange(3.0))))

    @abstractmethod
    def make(self) -> Any:
        """What a sound file holds."""

    def mutate(self, random: Random) -> dict[str, bytes]:
        """Damage the file, or what is in it."""
        if random.random() < 0.5:
            return damage(self.seeds, random, TOKENS)
        state = self.sound
        while True:
            state = changed(state, random)
            if random.random() < 0.6:
                return {self.file: saved(state)}

    def check_network(self, refused: str | None) -> None:
        """Look at the network that was to be loaded, and bring it back to what it was.

        Raises:
            BrokenPromise: it was refused, yet weights changed; or it was accepted, with weights that are not finite.
        """
        now = self.network.state_dict()
        same = all(torch.equal(now[name], tensor) for name, tensor in self.before.items())
        finite = all(tensor.isfinite().all() for tensor in now.values())
        self.network.load_state_dict(self.before)
        if refused and not same:
            raise BrokenPromise("refused, yet some weights were loaded")
        if not finite:
            raise BrokenPromise("weights that are not finite were accepted")


class Weights(CheckpointTarget):
    """Weights that are read into a network."""

    file = WEIGHTS

    def make(self) -> Any:
        """The weights of another network of the same kind."""
        torch.manual_seed(1)
        return {name: tensor + 0.01 for name, tensor in self.network.state_dict().items()}

    def attack(self, given: Path) -> str | None:
        """Load it."""
        path = given / WEIGHTS
        refused = refusal(lambda: load_matching(self.network, read_state(path), str(path)), WEIGHTS)
        self.check_network(refused)
        return refused


class States(CheckpointTarget):
    """States that a training resumes from."""

    file = STATE_FILE

    def make(self) -> Any:
        """The state after two of five epochs."""
        self.optimizer = torch.optim.Adam(self.network.parameters())
        position = {"epoch": 2, "iteration": 6, "epoch_length": 3}
        return {"position": position, "network": self.before, "optimizer": self.optimizer.state_dict()}

    def attack(self, given: Path) -> str | None:
        """Resume."""
        engine = Engine(lambda engine, batch: None)
        engine.state.max_epochs, engine.state.epoch_length = 5, 3
        engine.logger.setLevel(logging.ERROR)
        optimizer = torch.optim.Adam(self.network.parameters())
        resume = Resume(given, {"network": self.network, "optimizer": optimizer}, resume=True)

        def start() -> None:
            resume.attach(engine)
            resume.move(engine)

        refused = refusal(start, STATE_FILE)
        self.check_network(None)
        return refused


def saved(state: Any, **options: Any) -> bytes:
    """A file of ``torch.save``."""
    out = io.BytesIO()
    torch.save(state, out, **options)
    return out.getvalue()


def old_form(tensor: torch.Tensor) -> bytes:
    """A tensor in the form before zip files, in which storages are named by addresses: here always by the same."""
    content = saved({"x": tensor}, _use_new_zipfile_serialization=False)
    return re.sub(rb"X.\0\0\0\d{6,}", b"X\x07\0\0\x001234567", content, flags=re.DOTALL)


def changed(state: Any, random: Random) -> Any:
    """Contents with one place changed, the original left as it is."""
    if isinstance(state, dict) and state and random.random() < 0.95:
        key = random.choice(list(state))
        way = random.random()
        rest = {name: value for name, value in state.items() if name != key}
        if way < 0.1:
            return rest
        if way < 0.2:
            return {**rest, random.choice((*TEXTS[:40], 0, None, ("a", 1))): state[key]}
        if way < 0.25:
            return {**state, random.choice(TEXTS[:40]): torch.zeros(2)}
        return {**state, key: changed(state[key], random)}
    if isinstance(state, list) and state and random.random() < 0.8:
        at = random.randrange(len(state))
        return [*state[:at], changed(state[at], random), *state[at + 1 :]]
    # one that was expanded is left: to change it would take the memory of all that it claims
    expanded = isinstance(state, torch.Tensor) and state.nbytes > state.untyped_storage().nbytes()
    if isinstance(state, torch.Tensor) and not expanded and random.random() < 0.9:
        return random.choice(ODD)(state)
    return random.choice((*NUMBERS, *TEXTS, None, True, [], {}, torch.zeros(3), [torch.zeros(1)]))
