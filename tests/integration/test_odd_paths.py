"""``#``, ``@``, ``%`` and ``$`` in the names of folders and images."""

import shlex

import mlflow
import pandas as pd
import pytest

from bundle.config_text import config_text
from bundle.preferences.store.judgement_store import JudgementStore
from tests.integration.commands import ADAPT, EVALUATE, NETWORK, ROOT, SOURCE, TINY, call, command, flags, run_here
from tests.odd_paths import FOLDER, IMAGE, write_odd_domain

INFER = ["configs/inference.json"]
PREFER = ["configs/train.json", "configs/prefer.json"]
CANDIDATES = [*PREFER, "configs/candidates.json"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("odd") / FOLDER


@pytest.fixture(scope="module")
def odd(home):
    return write_odd_domain(home / "target")


@pytest.fixture(scope="module")
def trained(home, odd):
    """Both trainings, of odd domains into an odd folder."""
    source = write_odd_domain(home / "source", 0, 90)
    pair = {"source_dir": config_text(source), "dataset_dir": config_text(odd)}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        start = config_text(home / "source.pt")
        run_here(SOURCE, source_dir=pair["source_dir"], checkpoint=start, work_dir=config_text(home / "work"))
        result = {"checkpoint": config_text(home / "adapted.pt"), "work_dir": config_text(home / "adapt")}
        run_here(ADAPT, **pair, **result, init_checkpoint=start, points="points_15.json")
    return {**pair, "checkpoint": result["checkpoint"]}


def tiny(files, **settings):
    """The settings of the small network that these files have, and others."""
    known = NETWORK if files[0] in INFER else TINY
    return [part for name, value in {**known, **settings}.items() for part in (f"--{name}", str(value))]


def test_trainings(trained, home):
    assert (home / "source.pt").is_file() and (home / "adapted.pt").is_file()


@pytest.mark.slow
def test_candidates_questions_and_preferences(trained, home, odd, in_root, monkeypatch):
    work = {"work_dir": config_text(home / "prefer"), "points": "points_15.json", "region_size_nm": 320.0}
    start = {"dataset_dir": trained["dataset_dir"], "init_checkpoint": trained["checkpoint"]}
    options = tiny(CANDIDATES, **start, **work)
    done = call(command("run", "making_candidates", "--config_file", str(CANDIDATES), *options))
    assert done.returncode == 0, done.stderr[-3000:]
    names = {path.name for path in (home / "prefer" / "candidates").iterdir()}
    assert names == {f"training {IMAGE}.npz", "training_1.npz", "training_2.npz"}
    with JudgementStore(home / "prefer" / "preferences.sqlite", create=False) as store:
        assert str(odd / "images" / f"training {IMAGE}.png") in {question.image for question in store.questions()}
    run_here(PREFER, **start, **work, checkpoint=config_text(home / "model.pt"), annotator="oracle", prefer_epochs=1)
    assert (home / "model.pt").is_file() and (home / "prefer" / "pictures" / "judgements.png").is_file()


@pytest.mark.slow
def test_inference(trained, home, odd):
    """Of the domain, of its folder of images and of one image, with clicks."""
    points = home / "clicks #.csv"
    points.write_text(f"image,x,y,label\ntest {IMAGE}.png,5,6,1\n")
    for name, given, options in (
        ("domain", odd, {"points": "points_100.json"}),
        ("folder", odd / "images", {"points": config_text(points), "tracking": "mlflow"}),
        ("image", odd / "images" / f"test {IMAGE}.png", {"foreground": [[5, 6]]}),
    ):
        options |= {"dataset_dir": config_text(given), "output_dir": config_text(home / name)}
        options |= {"checkpoint": trained["checkpoint"], "crop_size": [32, 32], "device": "cpu"}
        options |= {"pixel_size": "$None"}
        done = call(command("run", "--config_file", str(INFER), *tiny(INFER, **options)))
        assert done.returncode == 0, done.stderr[-3000:]
        assert (home / name / f"test {IMAGE}_mask.png").is_file()
    assert len(list((home / "folder").glob("*_mask.png"))) == 5 and (home / "folder" / "mlruns").is_dir()


def test_evaluation_and_tracking(trained, home, odd, in_root):
    out = home / "evaluation"
    run_here(EVALUATE, **trained, tracking="mlflow", output_dir=config_text(out))
    table = pd.read_csv(out / "metrics.csv")
    assert str(odd / "images" / f"test {IMAGE}.png") in set(table["image"])
    assert (out / "pictures" / f"test {IMAGE}_automatic.png").is_file()
    client = mlflow.MlflowClient(f"sqlite:///{out}/mlruns.db")
    found = client.search_runs(client.get_experiment_by_name("prefer-das").experiment_id)
    (run,) = (run for run in found if "mlflow.parentRunId" in run.data.tags)
    assert run.data.params["dataset_dir"] == str(odd)
    pictures = {file.path for file in client.list_artifacts(run.info.run_id, "pictures")}
    assert f"pictures/test {IMAGE}_automatic.png" in pictures
    assert {"mlruns", "mlruns.db"} <= {path.name for path in out.iterdir()}


def test_other_folders_are_left_alone(home):
    """Nothing was written to a folder whose name is nearly that one."""
    assert {path.name for path in home.parent.iterdir()} == {FOLDER}


@pytest.mark.slow
def test_what_is_typed_is_refused_with_the_way_to_type_it(trained, home, odd):
    """The command line would cut the one value and MONAI change the other."""
    result = {"checkpoint": config_text(home / "typed.pt"), "work_dir": config_text(home / "typed")}
    typed = flags(ADAPT, **{**trained, **result, "dataset_dir": odd, "init_checkpoint": trained["checkpoint"]})
    done = call(command("run", "training", *typed))
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
    line = done.stderr.splitlines()[-1]
    read = str(odd).replace("#", "::")
    assert line.startswith(f"error: dataset_dir is '{odd}', which is read as '{read}'; write ")
    assert not (home / "typed").exists()
    remedy = shlex.split(line.partition("; write ")[2].partition(" on the command line")[0])
    done = call(command("run", "training", *(remedy[0] if part == str(odd) else part for part in typed)))
    assert done.returncode == 0, done.stderr[-3000:]
    assert (home / "typed.pt").is_file()

    done = call(command("run", "training", *flags(ADAPT, dataset_dir="a#b")))
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: dataset_dir is 'a#b', which is read as 'a'; write ")
