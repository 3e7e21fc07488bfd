"""The comparison on domains of a few pixels. Its commands run in this process: a start of Python takes seconds."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import monai.bundle
import pytest
from PIL import Image

from bundle.errors import SettingError
from bundle.json_files import read_json
from bundle.preferences.store.judgement_store import JudgementStore
from bundle.preflight import check_overrides, parse_command
from scripts.compare import draw_noise, format_table, main, parser
from scripts.comparison import cells as module
from scripts.comparison.cells import CellError, Cells, Task
from scripts.comparison.comparison import Comparison
from scripts.comparison.noise_figure import write_noise_figure
from scripts.comparison.person_time import PersonTime
from scripts.comparison.preference_rows import ABLATION, PREFERENCES, STUDY, in_order
from scripts.comparison.report import Row, write_overview, write_report
from tests.integration.commands import ROOT, TINY

SCHEDULE = {
    **TINY,
    "source_epochs": 2,
    "prefer_epochs": 1,
    "epoch_length": 4,
    "source_learning_rate": 3e-3,
}
ROWS = ["source_only", "uda", "wda_15", *PREFERENCES, "wda_100", "supervised"]


def run_here(calls):
    """In the place of ``run_bundle``; remembers the files and settings of each command."""

    def call(arguments, log, threads):
        assert arguments[0] == "run"
        settings = parse_command(arguments[2:])
        calls.append(dict(settings))
        files = settings.pop("config_file")
        known = monai.bundle.ConfigParser()
        known.read_config(files)
        check_overrides(settings, known.get())
        monai.bundle.run(arguments[1], config_file=files, logging_file=False, **settings)
        return 0

    return call


def compared(folder, domain_pair, **settings):
    """A comparison in a folder that ran, its rows, and its commands."""
    (folder / "tiny.json").write_text(json.dumps(SCHEDULE))
    for name, prepared in domain_pair._asdict().items():
        shutil.copytree(prepared, folder / "run" / "domains" / name / "seed0")
    comparison = Comparison(
        run=folder / "run",
        domains=folder / "run" / "domains",
        source="source",
        target="target",
        data=None,
        pixel_sizes={},
        pixel_size=20.0,
        seed=0,
        cells=Cells([str(folder / "tiny.json")], {"seed": 0}, jobs=1),
        **settings,
    )
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(module, "run_bundle", run_here(calls))
        rows = comparison.execute()
    return comparison, rows, calls


@pytest.fixture(scope="module")
def finished(domain_pair, tmp_path_factory):
    return compared(tmp_path_factory.mktemp("comparison"), domain_pair)


def test_rows_and_what_they_cost(finished):
    comparison, rows, _ = finished
    assert [row.name for row in rows] == ROWS
    for row in rows:
        assert row.means.keys() == {"automatic", "interactive"}
        assert row.cost.keys() == ({"judgements", "annotation_seconds"} if row.name in PREFERENCES else set())
    cost = {row.name: row.cost for row in rows if row.cost}
    with JudgementStore(comparison.run / "wda_15+lpo.sqlite") as store:
        assert cost["wda_15+lpo"]["judgements"] == len(store.judgements(kind="oracle")) > 0
    assert cost["wda_15+lpo"]["annotation_seconds"] == 3 * cost["wda_15+lpo"]["judgements"]
    assert cost["wda_15+image_dpo"]["judgements"] <= 3
    assert cost["wda_15+slpo_15"]["judgements"] < cost["wda_15+lpo"]["judgements"]
    assert cost["wda_15+upo"]["annotation_seconds"] == 0 < cost["wda_15+upo"]["judgements"]


def test_what_a_person_gives_to_each_row(finished):
    """Three training images with three discs each; one click in each image is 15 %."""
    time = {row.name: row.time for row in finished[1]}
    assert time["source_only"] == time["uda"] == PersonTime()
    assert time["wda_15"] == time["wda_15+upo"] == PersonTime(clicks=3)
    assert time["wda_100"] == PersonTime(clicks=9)
    assert time["supervised"] == PersonTime(masks=9)
    votes = int(next(row.cost["judgements"] for row in finished[1] if row.name == "wda_15+lpo"))
    assert time["wda_15+lpo"] == PersonTime(clicks=3, votes=votes)


def test_rows_share_the_candidates_that_were_made_first(finished):
    comparison, _, calls = finished
    folder = comparison.run / "candidates" / "wda_15"
    with JudgementStore(folder.with_suffix(".sqlite")) as store:
        opened = {question.candidates_file: question for question in store.questions()}
    assert set(opened) <= {str(file) for file in folder.iterdir()} and len(list(folder.iterdir())) == 3
    (making,) = [i for i, call in enumerate(calls) if "configs/candidates.json" in call["config_file"]]
    learning = [i for i, call in enumerate(calls) if call["config_file"][-1] == "configs/prefer.json"]
    assert making < min(learning) and len(learning) == 4
    for i in learning:
        assert calls[i]["candidates_dir"] == calls[making]["candidates_dir"]
        assert calls[i]["init_checkpoint"] == calls[making]["init_checkpoint"]
    made = max(file.stat().st_mtime_ns for file in folder.iterdir())
    assert made < folder.with_suffix(".sqlite").stat().st_mtime_ns  # no row made them again


def test_cells_are_recorded_below_a_run_of_each_seed(finished, monkeypatch, tmp_path):
    comparison, _, _ = finished
    calls = []
    monkeypatch.setattr(
        module, "run_bundle", lambda arguments, *_, **__: calls.append(parse_command(arguments[2:])) or 0
    )
    recorded = Comparison(**{**vars(comparison), "run": tmp_path, "tracking_uri": "sqlite:////tmp/mlruns.db"})
    (first, second) = recorded.each_of([3, 4])
    assert [each.run.name for each in (first, second)] == ["seed3", "seed4"]
    assert recorded.each_of([3])[0].run == tmp_path
    second.adapt("uda")
    second.evaluate("uda")
    assert [call["parent_run"] for call in calls] == ["source to target, seed 4"] * 2
    assert [call["run_name"] for call in calls] == ["uda, seed 4", "evaluate uda, seed 4"]
    assert [call["seed"] for call in calls] == [4, 4]
    assert {call["tracking_uri"] for call in calls} == {"sqlite:////tmp/mlruns.db"}
    assert calls[1]["output_dir"] == str(second.run / "uda")


def test_nothing_is_made_twice(finished, monkeypatch, capsys):
    comparison, rows, _ = finished
    monkeypatch.setattr(module, "run_bundle", lambda *_, **__: pytest.fail("a cell ran again"))
    assert comparison.execute() == rows


def test_a_domain_that_was_prepared_at_another_pixel_size_is_refused(finished):
    comparison, _, _ = finished
    with pytest.raises(SettingError, match=r"--pixel_size 10: .*/source/seed0/datalist.json says 20 nm"):
        Comparison(**{**vars(comparison), "pixel_size": 10.0}).prepare("source")


def test_a_folder_of_before_preferences_goes_on(finished, monkeypatch, tmp_path):
    """What the comparison without stage 2 left: stage 2 is made, nothing else."""
    comparison, _, _ = finished
    wanted = []
    for name in ("uda", "wda_15", "wda_100", "source_only", "supervised"):
        shutil.copytree(comparison.run / name, tmp_path / name)
        if (comparison.run / f"{name}.pt").is_file():
            shutil.copy(comparison.run / f"{name}.pt", tmp_path)

    def pretend(arguments, log, threads):
        wanted.append(arguments[1])
        return 1

    monkeypatch.setattr(module, "run_bundle", pretend)
    older = Comparison(**{**vars(comparison), "run": tmp_path})
    for file in (tmp_path / "candidates").glob("*"):
        file.unlink()
    with pytest.raises(CellError, match=r"exit status 1, see .*/candidates/wda_15.log"):
        older.execute()
    assert wanted == ["making_candidates"]


def test_order_of_the_cells(finished):
    comparison, _, _ = finished
    tasks = comparison.tasks()
    assert all(name in tasks for task in tasks.values() for name in task.after)
    assert tasks["prepare source"].after == ()
    assert set(tasks["adapt uda"].after) == {"train on source", "prepare target"}
    assert "adapt wda_15" in tasks["make candidates from wda_15"].after
    assert tasks["learn preferences wda_15+lpo"].after == ["make candidates from wda_15"]
    assert {name for name in tasks if name.startswith("evaluate")} == {f"evaluate {row}" for row in ROWS}
    assert "train on target" in tasks["evaluate supervised"].after


def test_synthetic_tissue_needs_the_targets_folder_alone(finished, monkeypatch, tmp_path):
    comparison, _, _ = finished
    calls = []

    monkeypatch.setattr(
        module, "run_bundle", lambda arguments, *_, **__: calls.append(parse_command(arguments[2:])) or 0
    )
    alone = {"run": tmp_path, "source": "synthetic", "domains": tmp_path / "domains"}
    shutil.copytree(comparison.domains / "target" / "seed0", tmp_path / "domains" / "target" / "seed0")
    trained = Comparison(**{**vars(comparison), **alone})
    for name in ("prepare synthetic", "train on synthetic", "adapt uda", "evaluate uda"):
        trained.tasks()[name].work()
    assert sorted(path.name for path in (tmp_path / "domains").iterdir()) == ["synthetic", "target"]
    assert [call["source_dir"] for call in calls] == ["synthetic"] * 3
    assert calls[0]["config_file"][-1] == "configs/source.json" and calls[0]["pixel_size"] == 20.0
    assert calls[1]["init_checkpoint"] == calls[0]["checkpoint"]

    calls.clear()
    weights = comparison.checkpoint("source_only")  # with its overlay beside it
    given = Comparison(**{**vars(comparison), **alone, "run": tmp_path / "given", "weights": weights})
    for name in ("train on synthetic", "adapt uda", "evaluate source_only"):
        given.tasks()[name].work()
    assert [call["config_file"][-1] for call in calls] == [str(weights.with_suffix(".json")), "configs/evaluate.json"]
    assert calls[0]["init_checkpoint"] == calls[1]["checkpoint"] == str(weights)


def test_rows_that_are_named_are_made_alone_from_given_weights_on_another_split(finished, monkeypatch, tmp_path):
    comparison, _, _ = finished
    init = comparison.checkpoint("source_only")
    run = tmp_path / "run"
    shutil.copytree(comparison.domains / "source" / "seed0", run / "domains" / "source" / "seed0")
    shutil.copytree(comparison.domains / "target" / "seed0", run / "domains" / "target" / "seed0")
    some = replace(
        comparison, run=run, domains=run / "domains", init=init, split="training", only=["uda", "supervised"]
    )
    assert list(some.tasks()) == [
        "prepare source",
        "train on source",
        "prepare target",
        "train on target",
        "adapt uda",
        "evaluate uda",
        "evaluate supervised",
    ]
    calls = []
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(module, "run_bundle", run_here(calls))
    assert [row.name for row in some.execute()] == ["uda", "supervised"]
    trainings = [call for call in calls if "configs/source.json" in call["config_file"]]
    assert [call["init_checkpoint"] for call in trainings] == [str(init)] * 2
    assert str(init.with_suffix(".json")) in trainings[0]["config_file"]
    assert some.checkpoint("supervised").name == f"trained-from-{init.stem}-seed0.pt"
    assert read_json(some.checkpoint("supervised").with_suffix(".json"))["_provenance_"]["parent"] is not None
    assert {call["val_split"] for call in calls if "configs/evaluate.json" in call["config_file"]} == {"training"}


def test_ablation_adds_parts_of_the_loss_and_rounds_with_candidates_of_their_own(finished, monkeypatch, tmp_path):
    comparison, _, _ = finished
    rows = ["wda_15+lpo_nll_alone", "wda_15+slpo_15_three_rounds"]
    more = replace(comparison, preferences={**PREFERENCES, **ABLATION}, only=rows)
    calls = []
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(module, "run_bundle", run_here(calls))
    assert [row.name for row in more.execute()] == rows
    of = {Path(call["checkpoint"]).stem: call for call in calls if "configs/prefer.json" in call["config_file"]}
    alone, rounds = (of[row] for row in rows)
    assert alone["loss_weights#preference"] == 0.0 and alone["candidates_dir"].endswith("candidates/wda_15")
    assert rounds["feedback_every"] == "$max(1, @max_epochs // 3)"
    assert rounds["candidates_dir"].endswith(f"candidates/{rows[1]}")


@pytest.mark.parametrize(
    "options, words",
    [
        (["--init", "nowhere.pt"], "--init nowhere.pt: no such file"),
        (["--schedule", "long.json"], "--schedule long.json: no such file"),
        (["--rows", "wda_5"], "--rows wda_5: expected some of source_only, uda"),
    ],
)
def test_options_that_name_what_is_not_there_are_refused(tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.setattr("sys.argv", ["compare", "--run", str(tmp_path / "run"), *options])
    assert main() == 2
    assert words in capsys.readouterr().err


def test_weights_that_are_not_there_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["compare.py", "--run", str(tmp_path / "run"), "--weights", "/nowhere.pt"])
    assert main() == 2
    assert capsys.readouterr().err == "error: --weights /nowhere.pt: no such file\n"


def test_tasks_wait_for_each_other_and_run_side_by_side():
    both, seen = Barrier(2, timeout=30), []
    tasks = {
        "last": Task(lambda: seen.append("last"), ["left", "right"]),
        "left": Task(lambda: seen.append(both.wait() >= 0), ["first"]),
        "right": Task(lambda: seen.append(both.wait() >= 0), ["first"]),
        "first": Task(lambda: seen.append("first")),
    }
    Cells([], {}, jobs=2).run(tasks)
    assert seen == ["first", True, True, "last"]


def test_folders_of_a_command_may_have_odd_names(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(module, "run_bundle", lambda arguments, log, threads: calls.append(arguments) or 0)
    folder = tmp_path / "a#b '@seed"
    cells = Cells(["tiny.json"], {}, jobs=1)
    cells.bundle(folder / "x.pt", "training", ("train.json",), dataset_dir=folder, crop_size="@tile")
    settings = parse_command(calls[0][2:])
    assert settings["crop_size"] == "@tile"
    parser = monai.bundle.ConfigParser({name: settings[name] for name in ("dataset_dir", "work_dir")})
    assert parser.get_parsed_content() == {"dataset_dir": str(folder), "work_dir": str(folder / "x.work")}


def test_nothing_is_begun_after_a_failure():
    seen = []

    def fail():
        raise CellError("broken (exit status 1, see a.log)")

    tasks = {"one": Task(fail), "two": Task(lambda: seen.append("two"), ["one"]), "three": Task(lambda: seen.append(3))}
    with pytest.raises(CellError, match="broken"):
        Cells([], {}, jobs=1).run(tasks)
    assert seen == []


def test_table_report_and_pictures(finished, tmp_path):
    comparison, rows, _ = finished
    lines = format_table(rows).splitlines()
    assert len(lines) == 1 + 2 * len(rows)
    assert lines[0].split()[-2:] == ["judgements", "seconds"]
    (first, second) = (line.split() for line in lines if line.startswith("wda_15+lpo"))
    assert first[1] == "automatic" and [float(v) for v in first[-2:]] == [round(v) for v in rows[6].cost.values()]
    assert second[1] == "interactive" and len(second) == 8  # row, mode, four scores, precision, recall
    with Image.open(comparison.run / "wda_15+lpo" / "judgements.png") as picture:
        assert picture.width == 1600
    noise = write_noise_figure(tmp_path / "noise.png", {0.0: 0.8, 0.1: 0.7}, {"a": 0.6, "b": 0.5})
    page = write_report(tmp_path, "title", rows, judged="wda_15+lpo", noise=noise).read_text()
    assert "What was judged" in page and "Annotators that err" in page and page.count("<td>wda_15+lpo</td>") == 1
    plain = write_report(tmp_path, "title", rows[:3], judged="wda_15+lpo").read_text()
    assert "What was judged" not in plain and "Annotators that err" not in plain
    assert write_overview(tmp_path, rows, ("source_only", "wda_15+lpo")).is_file()


def test_metrics_file_of_the_program(finished, monkeypatch, capsys):
    comparison, rows, _ = finished
    monkeypatch.setattr(module, "run_bundle", lambda *_, **__: pytest.fail("a cell ran again"))
    options = {"data": comparison.run, "source": "source", "target": "target", "run": comparison.run}
    monkeypatch.setattr(
        "sys.argv", ["compare.py", *(p for name, value in options.items() for p in (f"--{name}", str(value)))]
    )
    (comparison.run / "metrics.json").write_text(json.dumps({"rows": {}, "seconds": 100.0}))
    assert main() == 0
    content = json.loads((comparison.run / "metrics.json").read_text())
    assert content.keys() == {"source", "target", "seed", "rows", "seconds"} and content["seconds"] >= 100
    assert list(content["rows"]) == ROWS
    assert content["rows"]["uda"].keys() == {"automatic", "interactive", "minutes"}
    learnt = content["rows"]["wda_15+lpo"]
    assert learnt.keys() == {"automatic", "interactive", "judgements", "annotation_seconds", "minutes"}
    assert learnt["annotation_seconds"] == rows[6].cost["annotation_seconds"]
    assert (
        "What was judged" in (comparison.run / "report.html").read_text()
        and (comparison.run / "overview.png").is_file()
    )
    assert "wda_15+lpo" in capsys.readouterr().out


def test_seconds_of_an_interrupted_run_count(tmp_path, monkeypatch):
    def fail(self):
        raise CellError("broken")

    monkeypatch.setattr(Comparison, "execute", fail)
    monkeypatch.setattr("sys.argv", ["compare.py", "--run", str(tmp_path / "run")])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.json").write_text(json.dumps({"rows": {"uda": {}}, "seconds": 100.0}))
    assert main() == 1
    content = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert content["seconds"] >= 100 and content["rows"] == {"uda": {}}


def test_study_adds_rows(tmp_path):
    rows = in_order(("source_only", "uda", "wda_15", "wda_100", "supervised"), {**PREFERENCES, **STUDY})
    assert rows[:4] == ("source_only", "source_only+image_dpo", "source_only+lpo", "uda")
    assert rows[-5:] == ("wda_15+lpo@0.1", "wda_15+lpo@0.2", "wda_15+lpo@0.3", "wda_100", "supervised")
    table = [Row(name, tmp_path, {"automatic": {"dice": i / 20}}) for i, name in enumerate(rows)]
    with Image.open(draw_noise(tmp_path, table)) as picture:
        assert picture.width == 840
    assert parser().parse_args(["--study"]).study and not parser().parse_args([]).study
