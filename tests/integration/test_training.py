import logging
import re
import shutil

import pytest
import torch
from monai.bundle import ConfigParser

from tests.integration.commands import ADAPT, SOURCE, TINY, call, command, flags, kill_after_first_epoch, run_here

STATE = "training_state.pt"


def read(path):
    return torch.load(path, weights_only=True)


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def epochs(log):
    return [int(n) for n in re.findall(r"Epoch\[(\d+)\] Complete", log)]


@pytest.mark.slow
def test_killed_run_goes_on_after_its_last_epoch(settings, tmp_path):
    line = command("run", "training", *flags(ADAPT, **{**settings, "max_epochs": 3, "epoch_length": 6}))
    kill_after_first_epoch(line)
    assert not (tmp_path / "models" / "adapted.pt").exists()
    assert read(tmp_path / "work" / STATE)["position"]["epoch"] == 1

    second = call([*line, "--resume", "true"])
    assert second.returncode == 0, second.stderr
    assert "resuming after epoch 1 of 3" in second.stdout
    assert epochs(second.stdout) == [2, 3]
    state = read(tmp_path / "work" / STATE)
    assert state["position"] == {"epoch": 3, "iteration": 18, "epoch_length": 6}
    assert equal(read(tmp_path / "models" / "adapted.pt"), state["teacher"])


def test_resumed_run_may_be_prolonged_and_a_finished_one_repeated(settings, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    run_here(ADAPT, **settings, max_epochs=1, resume=True)
    assert "nothing to resume" in caplog.text
    one = read(tmp_path / "work" / STATE)
    assert not equal(one["teacher"], one["network"])
    assert one["optimizer"]["param_groups"][0]["lr"] == 0.0

    caplog.clear()
    run_here(ADAPT, **settings, max_epochs=3, resume=True)
    three = read(tmp_path / "work" / STATE)
    assert epochs(caplog.text) == [2, 3]
    assert {int(s["step"]) for s in three["optimizer"]["state"].values()} == {6}
    assert three["lr_scheduler"]["last_epoch"] == 6

    caplog.clear()
    run_here(ADAPT, **settings, max_epochs=3, resume=True)
    assert epochs(caplog.text) == []
    # A teacher that began anew would be the student.
    assert equal(read(tmp_path / "models" / "adapted.pt"), three["teacher"])
    assert not equal(three["teacher"], three["network"])


def test_old_work_dir_is_not_used_unasked(settings, tmp_path):
    for _ in range(2):
        run_here(ADAPT, **settings)
        assert read(tmp_path / "work" / STATE)["position"]["iteration"] == 2


def test_source_training_resumes(domain_pair, tmp_path, in_root, caplog):
    caplog.set_level(logging.INFO)
    settings = {
        "source_dir": str(domain_pair.source),
        "checkpoint": str(tmp_path / "source.pt"),
        "work_dir": str(tmp_path),
        "resume": True,
    }
    run_here(SOURCE, **settings, max_epochs=1)
    run_here(SOURCE, **settings, max_epochs=2)
    assert epochs(caplog.text) == [1, 2]
    assert equal(read(tmp_path / "source.pt"), read(tmp_path / STATE)["network"])


def test_resumed_run_remembers_the_clicked_instances(settings, tmp_path):
    memory = []
    for max_epochs in (2, 3):
        run_here(ADAPT, **{**settings, "points": "points_100.json", "max_epochs": max_epochs, "resume": True})
        state = read(tmp_path / "work" / STATE)
        found = {**state["pseudo_labeler"]["_extra_state"], **state["exemplars"]["_extra_state"]}
        memory.append({name: found[name] for name in ("click_scores", "exemplars", "exemplar_images", "others")})
    for name, value in memory[0].items():
        assert 0 < len(value) < len(memory[1][name]), name
        assert torch.equal(memory[1][name][: len(value)], value), name


@pytest.mark.parametrize("points", [None, "points_15.json"], ids=["uda", "wda"])
def test_adaptation_needs_no_target_labels(settings, tmp_path, points):
    target = shutil.copytree(settings["dataset_dir"], tmp_path / "target")
    shutil.rmtree(target / "labels")
    run_here(ADAPT, **{**settings, "dataset_dir": str(target), "points": points})
    start, end = read(settings["init_checkpoint"]), read(settings["checkpoint"])
    assert start.keys() == end.keys() and not equal(start, end)


@pytest.mark.parametrize("files", [ADAPT, SOURCE], ids=["adapt", "source"])
def test_validation_while_training(settings, files, domain_pair, caplog):
    caplog.set_level(logging.INFO)
    if files is SOURCE:
        settings = {k: settings[k] for k in ("source_dir", "checkpoint", "work_dir")}
    run_here(files, **settings, max_epochs=3, val_interval=2, val_split="test")
    scored = re.findall(r"Epoch\[(\d+)\] Metrics -- val_mean_dice: ([\d.]+)", caplog.text)
    assert [epoch for epoch, _ in scored] == ["2"]
    assert 0 < float(scored[0][1]) <= 1


def test_validation_is_of_the_teacher_and_changes_nothing(settings, tmp_path, in_root):
    parser = ConfigParser()
    parser.read_config(ADAPT)
    parser.update({**TINY, **settings, "val_interval": 1, "val_split": "test"})
    trainer, teacher = parser.get_parsed_content("train#trainer"), parser.get_parsed_content("teacher")
    evaluator = parser.get_parsed_content("validate#evaluator")
    assert evaluator.network is teacher is trainer.teacher
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    evaluator.run()
    assert equal(before, teacher.state_dict())
    assert trainer.network.training and not teacher.training


def test_failed_run_leaves_older_weights_alone(settings, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "adapted.pt").write_bytes(b"older")
    with pytest.raises(RuntimeError):  # the loss weights name a part that there is not
        run_here(ADAPT, **settings, loss_weights={"seg": 1.0, "unknown": 1.0})
    assert (tmp_path / "models" / "adapted.pt").read_bytes() == b"older"


@pytest.mark.slow
@pytest.mark.parametrize("files", [ADAPT, SOURCE], ids=["adapt", "source"])
def test_two_processes_train_one_network(settings, files, tmp_path):
    logs = tmp_path / "logs"  # what each process prints, for on one stream their lines may mix
    launcher = (
        *("-m", "torch.distributed.run", "--standalone", "--nnodes=1", "--nproc_per_node=2"),
        *("--log-dir", str(logs), "--tee", "3", "-m", "monai.bundle"),
    )
    # Each process prints a sum over its network after training: equal, since gradients are averaged.
    total = "$print('SUM', sum(p.double().abs().sum().item() for p in @network.parameters()))"
    run = f"['$@train#trainer.run()', {total!r}]"
    if files is SOURCE:
        settings = {k: settings[k] for k in ("source_dir", "checkpoint", "work_dir")}
    arguments = flags([*files, "configs/multi_gpu_train.json"], **settings)
    done = call(command("run", "training", *arguments, "--training", run, module=launcher))
    assert done.returncode == 0, done.stderr
    printed = [path.read_text() for path in sorted(logs.rglob("stdout.log"))]
    sums = [re.findall(r"SUM ([\d.]+)", text) for text in printed]
    assert len(sums) == 2 and len(sums[0]) == 1 and sums[0] == sums[1]
    assert [epoch for text in printed for epoch in epochs(text)] == [1]
    assert not any(name.startswith("module.") for name in read(settings["checkpoint"]))


@pytest.mark.slow
def test_full_disk_at_a_checkpoint_is_one_line(settings, tmp_path):
    run_here(ADAPT, **settings)
    before = (tmp_path / "work" / STATE).read_bytes(), (tmp_path / "models" / "adapted.pt").read_bytes()
    line = command("run", "training", *flags(ADAPT, **{**settings, "max_epochs": 2}), "--resume", "True")
    done = call(["bash", "-c", 'ulimit -f 100 && exec "$@"', "bash", *line])  # files of at most 100 KiB
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
    text = f"error: {tmp_path / 'work' / STATE}: cannot be written"
    assert done.stderr.splitlines()[-1].startswith(text)
    assert sum(line.startswith("error") for line in done.stderr.splitlines()) == 1
    assert before == ((tmp_path / "work" / STATE).read_bytes(), (tmp_path / "models" / "adapted.pt").read_bytes())
    assert {path.name for path in (tmp_path / "work").iterdir()} == {STATE, "run.lock"}
    assert call([*line]).returncode == 0
