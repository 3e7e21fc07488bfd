"""What presets/gpu.json sets, on a CPU: each setting has its effect, and the trainings end as they do in float32.

``torch.compile`` runs here with the backend ``eager``, which traces and guards as all do but generates no code; one
slow test has ``inductor``, for which a C++ compiler must be there.
"""

import shutil

import pytest
import torch
from monai.bundle import ConfigParser

from bundle.engines.parts_trainer import PartsTrainer
from bundle.handlers.weights import load_weights
from tests.integration import test_exact_resume
from tests.integration.commands import ADAPT, TINY, run_here
from tests.integration.test_exact_resume import stage  # noqa: F401  # a fixture
from tests.integration.test_training import STATE, equal, read

PRESET = "configs/presets/gpu.json"
TOLERANCE = {"rel": 0.05, "abs": 0.02}
"""Of the parts of the loss in bfloat16, against float32. It has 8 bits: 0.4 % of each value, through some 40 layers."""
LATER = {"rel": 0.3, "abs": 0.05}
"""Of the later steps: pseudo labels near a threshold fall on either side, and teach other things from then on."""


@pytest.fixture(autouse=True)
def as_before():
    """The precision of products is a setting of the process, and so are the graphs."""
    precision = torch.get_float32_matmul_precision()
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()
    torch.set_float32_matmul_precision(precision)


@pytest.fixture
def losses(monkeypatch):
    """The parts of the loss of each step, as they come."""
    found = []
    check = PartsTrainer.check_losses
    monkeypatch.setattr(PartsTrainer, "check_losses", lambda self, named: found.append(named) or check(self, named))
    return found


def with_preset(files):
    return [files[0], PRESET, *files[1:]]


def parsed(files, **settings):
    parser = ConfigParser()
    parser.read_config(files)
    parser.update({**TINY, **settings})
    return parser


def at(folder, settings):
    """Settings of a run in a folder; ``variants`` are no text."""
    texts = {name: value for name, value in settings.items() if name != "variants"}
    return {**settings, **test_exact_resume.at(folder, texts)}


@pytest.fixture
def short(stage):  # noqa: F811
    """A training of six steps, whose candidates are made in one way."""
    files, settings = stage
    settings = {**settings, "max_epochs": 2}
    if "candidates_dir" in settings:
        thresholds = {"_target_": "bundle.preferences.candidates.Thresholds", "thresholds": [0.1, 0.3, 0.7, 0.9]}
        settings |= {"variants": [thresholds], "feedback_every": 0}
    return files, settings


@pytest.mark.slow
def test_a_stage_in_bfloat16_is_near_to_float32(short, losses, tmp_path, domain_pair, monkeypatch):
    files, settings = short
    run_here(files, **at(tmp_path / "plain", settings))
    plain, losses[:] = list(losses), []
    fast = {**settings, "compile_backend": "eager"}
    run_here(with_preset(files), **at(tmp_path / "fast", fast))
    assert len(losses) == len(plain) == 6
    for step, (found, expected) in enumerate(zip(losses, plain, strict=True)):
        assert found == pytest.approx(expected, **(LATER if step else TOLERANCE)), step
    assert losses != plain  # bfloat16 it was

    weights = [read(tmp_path / run / "weights.pt") for run in ("plain", "fast")]
    state = read(tmp_path / "fast" / "work" / STATE)
    for found in (weights[1], *(state[name] for name in ("network", "teacher", "reference") if name in state)):
        assert list(found) == list(weights[0])
        assert all(torch.isfinite(value).all() and value.dtype == torch.float32 for value in found.values())

    check = PartsTrainer.check_weights

    def fail(self):
        if self.state.epoch == 2:
            raise RuntimeError("the power went off")
        check(self)

    torch._dynamo.reset()
    with monkeypatch.context() as patch:
        patch.setattr(PartsTrainer, "check_weights", fail)
        with pytest.raises(RuntimeError):
            run_here(with_preset(files), **at(tmp_path / "parts", fast))
    torch._dynamo.reset()
    run_here(with_preset(files), **at(tmp_path / "parts", fast), resume=True)
    assert equal(read(tmp_path / "parts" / "weights.pt"), weights[1])

    inference = ["configs/inference.json", str(tmp_path / "fast" / "weights.json")]
    out = tmp_path / "masks"
    run_here(
        inference,
        checkpoint=str(tmp_path / "fast" / "weights.pt"),
        dataset_dir=str(domain_pair.target / "images"),
        output_dir=str(out),
        image_pixel_size=20.0,
    )
    assert len(list(out.glob("*_mask.png"))) == len(list((domain_pair.target / "images").iterdir()))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_compiled_code_trains_alike(settings, losses):
    run_here(ADAPT, **settings, epoch_length=1)
    plain, losses[:] = list(losses), []
    run_here(with_preset(ADAPT), **settings, epoch_length=1)
    assert losses[0] == pytest.approx(plain[0], **TOLERANCE)


def test_what_the_preset_sets(settings):
    """Each of its settings reaches what it is for, and does not without the preset."""
    for files, on in ((ADAPT, False), (with_preset(ADAPT), True)):
        parser = parsed(files, **settings, num_workers=1, val_interval=1, val_split="test", compile_backend="eager")
        if not on:
            parser["compile_backend"] = None
        trainer, evaluator = (parser.get_parsed_content(name) for name in ("train#trainer", "validate#evaluator"))
        for engine in (trainer, evaluator):
            assert (engine.amp, engine.amp_kwargs["dtype"]) == (on, torch.bfloat16)
        loader = parser.get_parsed_content("train#dataloader")
        assert (loader.pin_memory, trainer.non_blocking, loader.persistent_workers) == (on, on, on)
        for network in (trainer.network, trainer.teacher):
            kernel = network.image_encoder.stage4[0].conv1.conv.weight
            assert kernel.is_contiguous(memory_format=torch.channels_last) == on
            compiled = [network.image_encoder._compiled_call_impl, network.mask_decoder._compiled_call_impl]
            assert [module is not None for module in compiled] == [on, on]
        torch.set_float32_matmul_precision("medium")
        place = next(i for i, entry in enumerate(parser["initialize"]) if "matmul" in str(entry))
        parser.get_parsed_content(f"initialize#{place}")
        assert torch.get_float32_matmul_precision() == ("high" if on else "highest")
    assert {name for name in read_preset() if not name.startswith("_")} == {
        "amp",
        "amp_dtype",
        "tf32",
        "channels_last",
        "compile_backend",
        "pin_memory",
        "persistent_workers",
    }


def read_preset():
    return ConfigParser.load_config_file(PRESET)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_that_stay_draw_what_new_ones_do(settings, tmp_path, workers):
    """So an interrupted run, whose workers are new, is no other than one that was not."""
    for stay in (False, True):
        changed = {"checkpoint": str(tmp_path / f"{stay}.pt"), "work_dir": str(tmp_path / str(stay))}
        run_here(ADAPT, **{**settings, **changed}, num_workers=workers, persistent_workers=stay, max_epochs=3)
    assert equal(read(tmp_path / "False.pt"), read(tmp_path / "True.pt"))


def test_no_worker_stays_where_there_is_none_or_data_change(settings):
    loader = "train#dataloader#persistent_workers"
    assert parsed(with_preset(ADAPT), **settings, num_workers=0).get_parsed_content(loader) is False
    prefer = with_preset([*ADAPT, "configs/prefer.json"])
    for rounds in (0, 2):
        parser = parsed(prefer, num_workers=2, feedback_every=rounds)
        assert parser.get_parsed_content(loader) is (rounds == 0)


def test_compiled_weights_load_into_a_plain_network(settings, tmp_path):
    network = parsed(with_preset(ADAPT), **settings, compile_backend="eager").get_parsed_content("network")
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    plain = parsed(ADAPT, **settings).get_parsed_content("network")
    load_weights(plain, tmp_path / "weights.pt")
    assert equal(plain.state_dict(), network.state_dict())
