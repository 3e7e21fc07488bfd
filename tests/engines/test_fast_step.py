"""Steps of stage 1 as they are made, against the plain way to the same: same losses, same weights.

The plain ways are written here alone: AdamW tensor by tensor, places for points that no image has, and probes that
attend among all tokens under a mask.
"""

import copy
from collections.abc import Callable

import pytest
import torch
from monai.bundle import ConfigParser

import bundle.engines.adaptation_trainer as adaptation
import bundle.networks.promptable_segmenter as segmenter
from bundle.handlers import MeanTeacher
from bundle.networks.two_way_transformer import TwoWayBlock
from tests.engines.steps import losses
from tests.engines.test_adaptation_trainer import trainer
from tests.integration.commands import ROOT
from tests.networks.tiny import tiny_segmenter

STEPS = 3
RATE = 1e-3
ROUNDING = 1e-4
"""Eps of AdamW: 1e-8 makes a full step of a gradient that is 0 but for rounding, as of a bias before a norm."""


def every_second(labels: torch.Tensor, bare_prob: float) -> torch.Tensor:
    """In place of a random subset, which would be another one where there are more places."""
    keep = torch.arange(labels.shape[1]) % 2 == 0
    return torch.where(keep, labels, torch.full_like(labels, -1))


def densely(self, tokens, image, token_pe, image_pe, present):
    """A block whose probes, the last tokens, attend to all tokens, all but themselves masked."""
    count, total = present.shape[1], tokens.shape[1]
    allowed = torch.zeros(len(tokens), 1, total, total, dtype=torch.bool)
    allowed[:, :, :count, :count] = present[:, None, None, :]
    allowed[:, :, range(count, total), range(count, total)] = True
    seen = torch.cat((present, torch.zeros(len(tokens), total - count, dtype=torch.bool)), dim=1)[:, None, None, :]
    q = tokens if self.first else tokens + token_pe
    out = self.self_attn(q, q, tokens, allowed)
    tokens = self.norm1(out if self.first else tokens + out)
    tokens = self.norm2(tokens + self.token_to_image(tokens + token_pe, image + image_pe, image))
    tokens = self.norm3(tokens + self.mlp(tokens))
    return tokens, self.norm4(image + self.image_to_token(image + image_pe, tokens + token_pe, tokens, seen))


def trained(**optimizer: bool) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Losses of each step, and the weights of student and teacher behind the last."""
    student = tiny_segmenter()
    engine = trainer(
        student,
        teacher := copy.deepcopy(student),
        epoch_length=STEPS,
        optimizer=torch.optim.AdamW(student.parameters(), lr=RATE, eps=ROUNDING, **optimizer),
        max_grad_norm=1.0,
    )
    MeanTeacher(teacher, student, 0.9).attach(engine)
    found = []
    step = engine._iteration
    engine._process_function = lambda *given: (step(*given), found.append(losses(engine)))[0]
    engine.run()
    states = {"student": student.state_dict(), "teacher": teacher.state_dict()}
    return found, {f"{which} {name}": value for which, state in states.items() for name, value in state.items()}


PLAIN: dict[str, Callable[[pytest.MonkeyPatch], dict[str, bool]]] = {}
"""What each of the plain ways changes; returns options of the optimiser."""


def plain(way):
    PLAIN[way.__name__] = way
    return way


@plain
def tensor_by_tensor(patch):
    return {"foreach": False, "fused": False}


@plain
def places_for_all_points(patch):
    for module in (adaptation, segmenter):
        patch.setattr(module, "without_padding", lambda *points: points)
    return {"fused": True}


@plain
def probes_among_all_tokens(patch):
    patch.setattr(TwoWayBlock, "forward", densely)
    return {"fused": True}


@plain
def everything(patch):
    for way in (places_for_all_points, probes_among_all_tokens):
        way(patch)
    return tensor_by_tensor(patch)


@pytest.mark.parametrize("way", list(PLAIN))
def test_a_step_is_what_the_plain_one_is(monkeypatch, way) -> None:
    monkeypatch.setattr(adaptation, "drop_points", every_second)
    fast_losses, fast = trained(fused=True)
    with monkeypatch.context() as patch:
        plain_losses, slow = trained(**PLAIN[way](patch))
    assert len(fast_losses) == STEPS and all(value for step in fast_losses for value in step.values())
    for found, expected in zip(fast_losses, plain_losses, strict=True):
        assert found == pytest.approx(expected, rel=1e-4)
    start = tiny_segmenter().state_dict()
    for name, value in fast.items():
        torch.testing.assert_close(value, slow[name], rtol=0, atol=RATE / 100, msg=lambda text, n=name: f"{n}: {text}")
    moved = [float((value - start[name.split()[1]]).abs().max()) for name, value in fast.items()]
    assert sum(way > RATE for way in moved) > len(moved) / 2  # a hundred times as far as they may differ


def test_the_plain_ways_are_others(monkeypatch) -> None:
    """They are used where they should be: broken ones are seen."""
    monkeypatch.setattr(adaptation, "drop_points", every_second)
    fast_losses, _ = trained(fused=True)

    def broken(self, tokens, image, token_pe, image_pe, present):
        tokens, image = densely(self, tokens, image, token_pe, image_pe, present)
        return tokens * 1.01, image

    monkeypatch.setattr(TwoWayBlock, "forward", broken)
    found, _ = trained(fused=True)
    assert found[0] != pytest.approx(fast_losses[0], rel=1e-4)


def test_the_configuration_takes_the_fused_optimiser() -> None:
    config = ConfigParser.load_config_file(ROOT / "configs" / "train.json")
    assert config["train"]["optimizer"]["fused"] is True
