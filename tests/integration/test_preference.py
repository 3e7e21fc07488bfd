import json
import logging
import math
import re
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest
from monai.bundle import ConfigParser
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bundle import preflight
from bundle.preferences.annotators import METHODS
from bundle.preferences.candidates.comparison import disputed
from bundle.preferences.candidates.files import read_candidates
from bundle.preferences.questions.regions import split_regions
from bundle.preferences.store.judgement_store import Judgement, JudgementStore
from tests.integration.commands import call, command, flags, kill_after_first_epoch, run_here
from tests.integration.test_training import STATE, epochs, equal, read

PREFER = ["configs/train.json", "configs/prefer.json"]


@pytest.fixture
def settings(domain_pair, source_weights, tmp_path, in_root):
    """Preference learning, from next to random weights, whose results go to ``tmp_path``."""
    return {
        "dataset_dir": str(domain_pair.target),
        "points": "points_15.json",
        "init_checkpoint": str(source_weights),
        "checkpoint": str(tmp_path / "models" / "model.pt"),
        "work_dir": str(tmp_path / "work"),
        "region_size_nm": 160.0,  # 8 pixels
        "candidates_count": 4,
        "annotator": "oracle",
    }


def history(tmp_path: Path) -> list[Judgement]:
    with JudgementStore(tmp_path / "work" / "preferences.sqlite", create=False) as store:
        return store.history()


def askable(tmp_path: Path, region_split: str, min_disputed: int = 4) -> int:
    """How many regions of the candidates on disk have enough disputed pixels."""
    count = 0
    for file in (tmp_path / "work" / "candidates").glob("*.npz"):
        masks = read_candidates(file).masks
        inside = split_regions(region_split, masks)[disputed(masks)]
        count += int((np.bincount(inside[inside >= 0]) >= min_disputed).sum())
    return count


@pytest.mark.parametrize(
    ("method", "region_split", "budget", "annotator"),
    [
        ("lpo", "grid:8", 1.0, "oracle"),
        ("slpo", "grid:8", 0.15, "oracle"),
        ("upo", "grid:8", 1.0, "evolution"),
        ("image_dpo", "image", 1.0, "oracle"),
    ],
)
def test_methods(settings, tmp_path, caplog, method, region_split, budget, annotator):
    caplog.set_level(logging.INFO)
    run_here(PREFER, **{**settings, "annotator": "auto" if method == "upo" else "oracle"}, method=method)
    assert epochs(caplog.text) == [1]
    start, end = read(settings["init_checkpoint"]), read(settings["checkpoint"])
    assert start.keys() == end.keys() and not equal(start, end)
    asked = history(tmp_path)
    assert {j.annotator.partition(":")[0] for j in asked} == {annotator}
    assert {j.question.region_split for j in asked} == {region_split}
    possible = askable(tmp_path, region_split)
    assert possible >= 3  # the images of the training split
    assert len(asked) == math.ceil(budget * possible)
    assert len({j.question.id for j in asked}) == len(asked)
    assert "stopped after epoch" not in caplog.text  # the guard
    curves = EventAccumulator(str(tmp_path / "work" / "tensorboard")).Reload()
    names = {"loss", "loss_preference", "rewards/accuracies", "rewards/margins", "kl", "feedback/seconds"}
    assert names <= set(curves.Tags()["scalars"])
    assert curves.Scalars("feedback/seconds")[0].value == sum(j.seconds for j in asked)


def test_contours_are_followed_in_smaller_steps_and_few_answers_anchored_more(in_root):
    rates, anchors = {}, {}
    for method in METHODS:
        config = ConfigParser()
        config.read_config(PREFER)
        config["method"], config["prefer_learning_rate"] = method, 1e-3
        rates[method] = config.get_parsed_content("learning_rate")
        anchors[method] = config.get_parsed_content("loss_weights#anchor")
    assert rates == pytest.approx({"lpo": 1e-3, "slpo": 1e-3, "upo": 1e-4, "image_dpo": 1e-3})
    assert anchors == {"lpo": 1.0, "slpo": 5.0, "upo": 1.0, "image_dpo": 1.0}


def test_rate_warms_up_over_the_first_epoch(in_root):
    config = ConfigParser()
    config.read_config(PREFER)
    config["prefer_epochs"], config["epoch_length"] = 2, 4
    rate = config.get_parsed_content("train#lr_scheduler#lr_lambda")
    assert [rate(0), rate(1), rate(3)] == pytest.approx([0.25, 0.5 * (7 / 8) ** 0.9, (5 / 8) ** 0.9])
    assert rate(8) == 0 and all(rate(step) > rate(step + 1) for step in range(3, 8))


def test_contours_need_no_labels(settings, tmp_path):
    target = shutil.copytree(settings["dataset_dir"], tmp_path / "target")
    shutil.rmtree(target / "labels")
    run_here(PREFER, **{**settings, "annotator": "auto", "dataset_dir": str(target)}, method="upo")
    assert not equal(read(settings["init_checkpoint"]), read(settings["checkpoint"]))


def test_judgements_of_people_are_used_once_there_are_any(settings, tmp_path, caplog):
    run_here(PREFER, **settings)
    first, second = (j.question for j in history(tmp_path)[:2])
    with JudgementStore(tmp_path / "work" / "preferences.sqlite") as store:
        store.add_many([Judgement(first, 1, "person:ada", 2.0), Judgement(second, "skip", "person:ada", 1.0)])
    before = len(history(tmp_path))
    caplog.set_level(logging.INFO)
    run_here(PREFER, **{**settings, "annotator": "auto"})
    assert "judgements come from: people" in caplog.text
    told = (
        "2 questions judged, 1 with a chosen candidate, 0 with none of these, on 1 images; 3 s of the annotator's time"
    )
    assert told in caplog.text
    assert len(history(tmp_path)) == before


@pytest.mark.slow
def test_killed_run_goes_on_without_asking_again(settings, tmp_path):
    line = command("run", "training", *flags(PREFER, **{**settings, "max_epochs": 3, "epoch_length": 6}))
    kill_after_first_epoch(line)
    assert not (tmp_path / "models" / "model.pt").exists()
    asked = [j.uid for j in history(tmp_path)]

    second = call([*line, "--resume", "true"])
    assert second.returncode == 0, second.stderr
    assert "resuming after epoch 1 of 3" in second.stdout
    assert epochs(second.stdout) == [2, 3]
    assert [j.uid for j in history(tmp_path)] == asked
    state = read(tmp_path / "work" / STATE)
    assert equal(state["reference"], read(settings["init_checkpoint"]))
    assert equal(read(tmp_path / "models" / "model.pt"), state["teacher"])


def test_prolonged_run_with_rounds(settings, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    folder = tmp_path / "work" / "candidates"
    run_here(PREFER, **settings, feedback_every=1, resume=True)
    assert not list(folder.glob("round_*"))
    one = history(tmp_path)
    run_here(PREFER, **{**settings, "max_epochs": 3}, feedback_every=1, resume=True)
    assert epochs(caplog.text) == [1, 2, 3]
    assert sorted(path.name for path in folder.glob("round_*")) == ["round_1", "round_2"]
    three = history(tmp_path)
    assert three[: len(one)] == one
    models = {Path(j.question.candidates_file).parent.name: j.question.model for j in three}
    assert len(set(models.values())) == 3  # each round has the policy as it then was
    assert len({j.question.id for j in three}) == len(three)


def test_tracked_run(settings, tmp_path):
    uri = f"sqlite:///{tmp_path}/mlruns.db"
    tracking = {"tracking": "mlflow", "tracking_uri": uri, "output_dir": str(tmp_path / "out")}
    run_here(PREFER, **{**settings, "max_epochs": 2}, **tracking, method="slpo", budget=0.5)
    client = mlflow.MlflowClient(uri)
    found = client.search_runs(client.get_experiment_by_name("prefer-das").experiment_id)
    (run,) = (run for run in found if "mlflow.parentRunId" in run.data.tags)
    assert run.info.status == "FINISHED"
    assert run.data.params.items() >= {"method": "slpo", "budget": "0.5", "region_split": "grid:8"}.items()
    metrics = run.data.metrics
    names = {"chosen", "rejected", "margins", "accuracies"}
    assert metrics.keys() >= {*(f"rewards/{name}" for name in names), "logps/chosen", "logps/rejected", "kl"}
    assert metrics.keys() >= {"loss_preference", "loss_anchor", "loss_det", "regions/judged"}
    assert 0 <= metrics["rewards/accuracies"] <= 1
    assert metrics["feedback/seconds"] == 3.0 * metrics["feedback/questions"] == 3.0 * len(history(tmp_path))
    margins = client.get_metric_history(run.info.run_id, "rewards/margins")
    assert len(margins) == 2 and margins[0].value != margins[1].value


@pytest.fixture
def fails(settings, tmp_path, capsys):
    """Run a command that must fail; return what its user reads, and see that no candidates were made."""

    def run(**changes):
        with pytest.raises(Exception) as error:
            run_here(PREFER, **{**settings, **changes})
        capsys.readouterr()
        preflight.show_error(error.type, error.value, error.tb)
        text = capsys.readouterr().err
        assert text.startswith("error: ") and text.endswith("\n") and text.count("\n") == 1, text
        assert not (tmp_path / "work" / "candidates").exists() and not (tmp_path / "models").exists()
        return text

    return run


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"method": "rlhf"}, f"method is 'rlhf', expected one of {', '.join(METHODS)}"),
        ({"annotator": "crowd"}, "annotator is 'crowd', expected one of auto, people, oracle, evolution"),
        ({"budget": 15}, "budget is 15: expected a share of the questions in (0, 1]"),
        ({"strategy": "best"}, "strategy is 'best': expected random, disagreement or uncertainty"),
        ({"region_split": "squares"}, "region_split is 'squares': expected image, grid:SIZE"),
        ({"candidates_count": 1}, "count of candidates must be at least 2, got 1"),
        ({"beta": 0.0}, "beta must be above 0, got 0"),
        ({"loss_type": "kto"}, "loss_type is 'kto', expected one of dpo, simpo, ipo, hinge, pixel, component"),
        ({"hard_rejected": 0}, "hard_rejected is 0, expected a number of candidates from 1"),
        ({"none_below": 2.0}, "none_below of the oracle is 2.0: expected a Dice"),
        ({"none_teaches": "all"}, "none_teaches is 'all', expected one of nothing, no_anchor, less_likely"),
        ({"shown_count": 1}, "shown_count is 1: expected at least 2 candidates"),
        ({"image_discount": 0.0}, "image_discount is 0.0: expected a factor in (0, 1]"),
        ({"noise": 2.0}, "noise of the oracle is 2.0: expected a probability"),
        (
            {"feedback_every": 2, "annotator": "people"},
            "feedback_every is 2: 0, or a number of epochs and an annotator",
        ),
        ({"init_checkpoint": "/nowhere.pt"}, "/nowhere.pt: no such checkpoint"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_settings_that_cannot_be(fails, setting, text):
    assert text in fails(**setting)


@pytest.mark.parametrize("loss_type", ["simpo", "ipo", "hinge", "pixel", "component"])
def test_objects_with_few_candidates_and_none_of_these(settings, tmp_path, caplog, loss_type):
    caplog.set_level(logging.INFO)
    choosy = {"none_below": 0.3, "none_teaches": "less_likely", "vote_seconds": 1.0, "vote_seconds_each": 0.5}
    asking = {"region_split": "objects:3", "shown_count": 2, "image_discount": 0.9, "hard_rejected": 1}
    run_here(PREFER, **settings, **choosy, **asking, loss_type=loss_type)
    assert epochs(caplog.text) == [1]
    start, end = read(settings["init_checkpoint"]), read(settings["checkpoint"])
    assert start.keys() == end.keys() and not equal(start, end)
    given = history(tmp_path)
    assert {judgement.question.region_split for judgement in given} == {"objects:3"}
    assert {judgement.seconds for judgement in given} == {2.0}
    chosen = {judgement.chosen for judgement in given}
    assert "none" in chosen and len(chosen) > 1, "a part of the questions has a candidate that will do"
    assert {len(judgement.question.options) for judgement in given} == {2}


def test_oracle_without_labels(fails, settings, tmp_path):
    target = shutil.copytree(settings["dataset_dir"], tmp_path / "target")
    shutil.rmtree(target / "labels")
    assert "target/labels/training_0.png: no such file" in fails(dataset_dir=str(target))
    lists = json.loads((target / "datalist.json").read_text())
    lists["training"] = [{"image": entry["image"]} for entry in lists["training"]]
    (target / "datalist.json").write_text(json.dumps(lists))
    text = fails(dataset_dir=str(target))
    assert "target/images/training_0.png: has no label, which oracle:noise=0 needs" in text


def test_people_who_have_not_answered(fails, tmp_path):
    assert "work/preferences.sqlite; vote on the page (make annotate), or name oracle" in fails(annotator="auto")
    assert "no such store of judgements; open questions with configs/candidates.json" in fails(annotator="people")
    with JudgementStore(tmp_path / "empty.sqlite"):
        pass
    text = fails(annotator="people", store=str(tmp_path / "empty.sqlite"))
    assert "empty.sqlite: no chosen candidate in 0 judgements, nothing to learn" in text


@pytest.mark.slow
def test_command_ends_with_one_line_and_a_failure(settings, tmp_path):
    done = call(command("run", "training", *flags(PREFER, **{**settings, "annotator": "people"})))
    assert done.returncode == 1
    assert re.match(r"error: .*preferences\.sqlite: no such store of judgements", done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "work" / "candidates").exists()
