from concurrent.futures import ThreadPoolExecutor

import pytest

from scripts.comparison.bundle_process import run_bundle


@pytest.fixture
def config(tmp_path):
    """A configuration: one id prints, one is killed, one fails."""
    file = tmp_path / "config.json"
    file.write_text(
        """{
            "prints": "$print('cores:', __import__('torch').get_num_threads())",
            "killed": "$__import__('os').kill(__import__('os').getpid(), 9)",
            "fails": "$1 / 0"
        }"""
    )
    return file


@pytest.mark.slow
def test_status_and_output_of_commands_side_by_side(config, tmp_path):
    def run(name):
        return run_bundle(["run", name, "--config_file", str(config)], tmp_path / f"{name}.log", threads=3)

    names = ["prints", "killed", "fails"]
    with ThreadPoolExecutor(3) as pool:
        statuses = dict(zip(names, pool.map(run, names), strict=True))
    assert statuses == {"prints": 0, "killed": -9, "fails": 1}
    assert "cores: 3" in (tmp_path / "prints.log").read_text()
    assert "division by zero" in (tmp_path / "fails.log").read_text()


@pytest.mark.slow
def test_what_a_user_can_mend_is_one_line_at_the_end(tmp_path):
    log = tmp_path / "run.log"
    arguments = ["run", "training", "--config_file", "['configs/train.json']", "--max_epochz", "3"]
    assert run_bundle(arguments, log, threads=1) == 1
    assert "max_epochz" in log.read_text().strip().splitlines()[-1]
    assert "Traceback" not in log.read_text()
