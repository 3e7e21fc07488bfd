"""Questions for people, their judgements, and the training on them."""

import logging
import subprocess

import mlflow
import numpy as np
import pytest
import torch

from bundle import preflight
from bundle.preferences.candidates.files import read_candidates
from bundle.preferences.store.judgement_store import Judgement, JudgementStore
from tests.integration.commands import NETWORK, call, command, flags, run_here

PREFER = ["configs/train.json", "configs/prefer.json"]
CANDIDATES = [*PREFER, "configs/candidates.json"]
QUESTIONS = {"crop_size": [32, 32], "region_size_nm": 320.0, "points": "points_15.json"}
LEARNING = {"region_size_nm": 320.0, "points": "points_15.json", "prefer_epochs": 1, "max_epochs": 1}


def make_candidates(*arguments: str, **settings) -> subprocess.CompletedProcess:
    """The command as a person types it."""
    pairs = {**NETWORK, **QUESTIONS, **settings}.items()
    options = [part for name, value in pairs for part in (f"--{name}", str(value))]
    return call(command("run", *arguments, "--config_file", str(CANDIDATES), *options), timeout=300)


@pytest.fixture(scope="module")
def opened(domain_pair, source_weights, tmp_path_factory):
    """The work folder of both commands, after the first."""
    work = tmp_path_factory.mktemp("people")
    settings = {"dataset_dir": domain_pair.target, "init_checkpoint": source_weights, "work_dir": work}
    return work, make_candidates("making_candidates", **settings), settings


def test_candidates_and_questions_of_the_training_split(opened, domain_pair):
    work, done, _ = opened
    assert done.returncode == 0, done.stderr[-3000:]
    files = sorted((work / "candidates").iterdir())
    assert [file.name for file in files] == [f"training_{i}.npz" for i in range(3)]
    made = {str(file): read_candidates(file) for file in files}
    with JudgementStore(work / "preferences.sqlite", create=False) as store:
        questions = store.questions()
    assert {question.image for question in questions} <= {
        str(domain_pair.target / "images" / f"training_{i}.png") for i in range(3)
    }
    for question in questions:
        assert question.region_split == "grid:16"
        assert [c.sha256 for c in question.candidates] == list(made[question.candidates_file].sha256)
    assert [q.priority for q in questions] == sorted((q.priority for q in questions), reverse=True)
    assert f"{len(questions)} questions in {work}/preferences.sqlite, {len(questions)} of them new" in done.stdout


@pytest.mark.slow
def test_same_command_goes_on(opened):
    work, _, settings = opened
    before = {file: file.stat().st_mtime_ns for file in (work / "candidates").iterdir()}
    (lost := work / "candidates" / "training_1.npz").unlink()
    del before[lost]
    done = make_candidates(**settings)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "made candidates of 1 images" in done.stdout and " 0 of them new" in done.stdout
    assert lost.is_file() and before.items() <= {f: f.stat().st_mtime_ns for f in lost.parent.iterdir()}.items()


def test_training_makes_the_same_candidates(opened, domain_pair, source_weights, tmp_path, in_root):
    work, _, _ = opened
    result = {"checkpoint": str(tmp_path / "model.pt"), "work_dir": str(tmp_path)}
    start = {"dataset_dir": str(domain_pair.target), "init_checkpoint": str(source_weights)}
    run_here(PREFER, **LEARNING, **start, **result, annotator="oracle")
    for file in sorted((work / "candidates").iterdir()):
        ours, theirs = read_candidates(file), read_candidates(tmp_path / "candidates" / file.name)
        np.testing.assert_array_equal(ours.masks, theirs.masks)
        assert (ours.made, ours.model, ours.image_sha256) == (theirs.made, theirs.model, theirs.image_sha256)
    with JudgementStore(work / "preferences.sqlite") as one, JudgementStore(tmp_path / "preferences.sqlite") as other:
        regions = [[(q.image, q.region_split, q.region_index) for q in store.questions()] for store in (one, other)]
    assert regions[0] == regions[1]


@pytest.mark.slow
def test_people_judge_and_a_network_learns(opened, domain_pair, source_weights, tmp_path):
    work, _, _ = opened
    with JudgementStore(work / "preferences.sqlite") as store:
        asked = store.unanswered("person:ada")
        for number, question in enumerate(asked[:7]):
            chosen = ("tie", "skip")[number] if number < 2 else number % len(question.candidates)
            store.add(Judgement(question, chosen, "person:ada", 2.5))
        mind_changed = store.judgements(annotator="person:ada")[-1].question
        store.add(Judgement(mind_changed, "undo", "person:ada", 1.0))
    settings = {
        **LEARNING,
        "annotator": "people",
        "dataset_dir": domain_pair.target,
        "init_checkpoint": source_weights,
        "checkpoint": tmp_path / "model.pt",
        "work_dir": work,
        "tracking": "mlflow",
        "tracking_uri": f"sqlite:///{tmp_path}/mlruns.db",
        "output_dir": tmp_path / "out",
    }
    done = call(command("run", "training", *flags(PREFER, **settings)), timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "6 questions judged, 4 with a chosen candidate" in done.stdout
    assert "15 s of the annotator's time" in done.stdout
    start, end = (torch.load(path, weights_only=True) for path in (source_weights, tmp_path / "model.pt"))
    assert start.keys() == end.keys() and any(not torch.equal(start[name], end[name]) for name in start)
    assert (work / "pictures" / "judgements.png").is_file()

    client = mlflow.MlflowClient(settings["tracking_uri"])
    found = client.search_runs(client.get_experiment_by_name("prefer-das").experiment_id)
    (run,) = (run for run in found if "mlflow.parentRunId" in run.data.tags)
    assert run.data.params["annotator"] == "people"
    assert "judgements.png" in {file.path for file in client.list_artifacts(run.info.run_id)}


def test_training_without_judgements_says_what_to_do(domain_pair, source_weights, tmp_path, in_root):
    start = {"dataset_dir": str(domain_pair.target), "init_checkpoint": str(source_weights)}
    with pytest.raises(Exception) as error:
        run_here(PREFER, **LEARNING, **start, work_dir=str(tmp_path), annotator="people")
    assert "no such store of judgements; open questions with configs/candidates.json" in preflight.explain(error.value)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"budget": 1.5}, "budget is 1.5: expected a share"),
        ({"strategy": "luck"}, "strategy is 'luck': expected random"),
        ({"region_split": "grid:0"}, "region_split is 'grid:0': expected image, grid:SIZE"),
        ({"min_disputed": 0}, "min_disputed is 0, expected a number above 0"),
        ({"candidates_count": 1}, "count of candidates must be at least 2, got 1"),
        ({"region_size_nm": -5}, "region_size_nm is -5, expected a number above 0"),
        ({"crop_size": [30, 32]}, "[30, 32], expected two multiples of 8"),
        ({"checkpoint": "/nowhere.pt"}, "/nowhere.pt: no such checkpoint"),
        ({"dataset_dir": "/nowhere"}, "/nowhere: no such folder"),
    ],
)
def test_settings_that_cannot_be(settings, text, opened, tmp_path, in_root, capsys, caplog):
    caplog.set_level(logging.CRITICAL)
    given = {name: str(value) for name, value in opened[2].items()} | {"work_dir": str(tmp_path / "work")}
    with pytest.raises(Exception) as error:
        run_here(CANDIDATES, **{**QUESTIONS, **given, **settings})
    capsys.readouterr()
    preflight.show_error(error.type, error.value, error.tb)
    shown = capsys.readouterr().err
    assert text in shown and shown.startswith("error: ") and shown.count("\n") == 1
    assert not (tmp_path / "work").exists()


@pytest.mark.slow
def test_misspelt_setting_ends_the_command_with_one_line(opened):
    done = make_candidates(**opened[2], bugdet=0.2)
    assert done.returncode == 1 and "did you mean --budget" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stdout + done.stderr
