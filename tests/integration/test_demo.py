"""The demo on a domain of a few pixels; its commands run in this process, for each start of Python takes seconds."""

import json
import shutil

import pytest
from PIL import Image

from bundle.preferences.store.judgement_store import JudgementStore
from scripts import demo
from scripts.comparison import cells as module
from scripts.comparison.cells import Cells
from scripts.demo import Demo
from tests.integration.commands import ROOT, TINY
from tests.test_compare import run_here

VOTES = 3


@pytest.fixture(scope="module")
def finished(domain_pair, source_weights, tmp_path_factory):
    """A demo that ran, its rows and its commands."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "tiny.json").write_text(json.dumps({**TINY, "prefer_epochs": 1}))
    shutil.copytree(domain_pair.target, folder / "run" / "target")
    shown = Demo(folder / "run", source_weights, VOTES, 0, Cells([str(folder / "tiny.json")], {"seed": 0}, jobs=1))
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(module, "run_bundle", run_here(calls))
        rows = shown.execute()
    return shown, rows, calls


def test_scores_before_and_after_as_many_votes_as_were_asked_for(finished):
    shown, rows, calls = finished
    assert [row.name for row in rows] == ["before", "after"]
    assert all(row.means.keys() == {"automatic", "interactive"} for row in rows)
    assert rows[0].cost == {} and rows[1].cost["judgements"] <= VOTES
    assert rows[0].time.minutes == 0 and rows[1].time.minutes * 60 == rows[1].cost["annotation_seconds"] > 0
    with JudgementStore(shown.run / "votes.sqlite") as store:
        assert len(store.judgements(kind="oracle")) == VOTES
    (learning,) = [call for call in calls if call.get("method") == "slpo"]
    assert learning["annotator"] == "oracle" and learning["init_checkpoint"] == str(shown.checkpoint)


def test_votes_are_on_training_images_and_scores_on_others(finished):
    shown, rows, _ = finished
    with JudgementStore(shown.run / "votes.sqlite") as store:
        assert {"training" in judgement.question.image for judgement in store.judgements()} == {True}
    assert {path.name for path in (rows[1].folder / "pictures").glob("*_automatic.png")} == {
        "test_0_automatic.png",
        "test_1_automatic.png",
    }


def test_nothing_is_made_twice(finished, monkeypatch):
    shown, rows, _ = finished
    monkeypatch.setattr(module, "run_bundle", lambda *_, **__: pytest.fail("a step ran again"))
    assert shown.execute() == rows


def test_the_program_draws_and_sums_up(finished, monkeypatch, capsys):
    shown, _, _ = finished
    monkeypatch.setattr(module, "run_bundle", lambda *_, **__: pytest.fail("a step ran again"))
    assert demo.main(["--run", str(shown.run), "--checkpoint", str(shown.checkpoint), "--votes", str(VOTES)]) == 0
    told = capsys.readouterr().out
    assert "before" in told and "after" in told and "report.html" in told
    with Image.open(shown.run / "overview.png") as picture:
        assert picture.width == 4 * 2 * 72
    page = (shown.run / "report.html").read_text()
    assert "votes" in page and "What was judged" in page and page.count("<td>after</td>") == 1


def test_a_folder_of_another_demo_is_refused(finished, capsys):
    shown, _, _ = finished
    options = ["--run", str(shown.run), "--checkpoint", str(shown.checkpoint), "--votes", str(VOTES + 1)]
    assert demo.main(options) == 2
    assert f"error: {shown.run}: is of other weights, votes or seed" in capsys.readouterr().err


def test_without_weights_one_line_says_so(tmp_path, capsys):
    missing = tmp_path / "model_synthetic.pt"
    assert demo.main(["--run", str(tmp_path / "run"), "--checkpoint", str(missing)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {missing}: no such weights") and not (tmp_path / "run").exists()
