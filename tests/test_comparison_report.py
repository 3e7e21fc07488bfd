"""The report of a comparison: several seeds, a person's minutes, learning curves, worst and best images."""

import mlflow
import numpy as np
import pytest
from PIL import Image

from scripts.comparison.curves import BINS, EXPERIMENT, mean_curve, read_curves, run_name
from scripts.comparison.figures import draw_curves, draw_minutes
from scripts.comparison.person_time import PersonTime, count_clicks
from scripts.comparison.report import Row, write_report
from scripts.comparison.seeds import over_seeds


def rows(folder, dice, votes=60):
    return [
        Row("uda", folder / "uda", {"automatic": {"dice": dice, "recall": 0.5}}),
        Row(
            "wda_15+lpo",
            folder / "wda_15+lpo",
            {"automatic": {"dice": dice + 0.1, "recall": 0.7}},
            {"judgements": votes, "annotation_seconds": 3.0 * votes},
            PersonTime(clicks=30, votes=votes),
        ),
        Row(
            "supervised", folder / "supervised", {"automatic": {"dice": 0.9, "recall": 0.9}}, time=PersonTime(masks=60)
        ),
    ]


def test_minutes_of_clicks_votes_and_masks():
    assert PersonTime(clicks=30, votes=60).minutes == 4.0
    masks = PersonTime(masks=60)
    assert (masks.minutes, masks.cautious_minutes) == (79.0, 39.5)
    assert PersonTime(clicks=30, votes=60).cautious_minutes == 4.0
    kinds = [PersonTime(), PersonTime(clicks=1), PersonTime(votes=1), PersonTime(clicks=1, votes=1), masks]
    assert [time.kind for time in kinds] == ["nothing", "points", "votes", "both", "masks"]


def test_clicks_of_the_training_images_alone(domain_pair):
    assert count_clicks(domain_pair.target, "points_15.json") == 3
    assert count_clicks(domain_pair.target, "points_100.json") == 9


def test_means_and_spread_over_seeds(tmp_path):
    together = over_seeds([rows(tmp_path / "seed0", 0.6, 60), rows(tmp_path / "seed1", 0.8, 63)])
    uda, lpo, _ = together
    assert uda.means["automatic"]["dice"] == pytest.approx(0.7)
    assert uda.spread["automatic"]["dice"] == pytest.approx(np.std([0.6, 0.8], ddof=1))
    assert lpo.cost == {"judgements": 61.5, "annotation_seconds": 184.5}
    assert lpo.time == PersonTime(clicks=30, votes=62) and lpo.seeds == 2
    assert lpo.folder == tmp_path / "seed0" / "wda_15+lpo"


def test_one_seed_has_no_spread(tmp_path):
    given = rows(tmp_path, 0.6)
    assert over_seeds([given]) == given and given[0].spread == {}


@pytest.fixture
def logged(tmp_path):
    """An MLflow database with a training of two seeds, one of them run twice."""
    uri = f"sqlite:///{tmp_path}/mlruns.db"
    client = mlflow.MlflowClient(uri)
    experiment = client.create_experiment(EXPERIMENT, str(tmp_path / "artifacts"))
    for start, (seed, level) in enumerate([(0, 9.0), (0, 1.0), (1, 3.0)]):
        run = client.create_run(experiment, start_time=start + 1, run_name=run_name("uda", seed)).info.run_id
        for step in range(1, 101):
            client.log_metric(run, "loss", level, step=step)
    return uri


def test_curves_are_those_of_the_newest_run_of_each_seed(logged):
    curves = read_curves(logged, ["uda", "wda_15"], [0, 1])
    assert curves.keys() == {"loss"} and curves["loss"].keys() == {"uda"}
    steps, mean, spread = mean_curve(curves["loss"]["uda"])
    assert len(steps) == BINS and steps[-1] == 100
    assert (mean == 2.0).all() and spread == pytest.approx(np.full(BINS, 2**0.5))


def test_nothing_logged_is_no_curve(tmp_path):
    assert read_curves(f"sqlite:///{tmp_path}/mlruns.db", ["uda"], [0]) == {}


def test_report_shows_all_of_it(tmp_path, logged):
    table = over_seeds([rows(tmp_path / "seed0", 0.6), rows(tmp_path / "seed1", 0.8)])
    extremes = table[1].folder / "extremes"
    extremes.mkdir(parents=True)
    for name in ("worst_0_0.123_a_b", "best_0_0.987_c"):
        Image.new("RGB", (4, 4)).save(extremes / f"{name}.png")
    minutes = draw_minutes(tmp_path / "minutes.png", table)
    curves = draw_curves(tmp_path / "curves.png", read_curves(logged, ["uda"], [0, 1]), [["train on a"], ["uda"]])
    page = write_report(tmp_path, "a to b", table, "wda_15+lpo", minutes=minutes, curves=curves).read_text()
    for text in ("0.700<small>&nbsp;&plusmn;&nbsp;0.141", "Means over 2 seeds", "<th>recall</th>", "Learning curves"):
        assert text in page, text
    assert "a_b: Dice 0.123" in page and "c: Dice 0.987" in page and "Worst images of wda_15+lpo" in page
    assert "Dice against a person's minutes" in page and "<td>79.0</td>" in page
    plain = write_report(tmp_path, "a to b", rows(tmp_path / "other", 0.6), "wda_15+lpo").read_text()
    assert "&plusmn;" not in plain and "Learning curves" not in plain and "Worst images" not in plain
