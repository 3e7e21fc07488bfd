import json
import sys

import pytest

from bundle import preflight
from bundle.handler_order import check_handler_order

SAVE = {"_target_": "bundle.handlers.SaveWeights"}
GUARD = {"_target_": "bundle.handlers.PreferenceGuard"}


def test_references_and_copies_are_looked_through() -> None:
    parts = {"guard": GUARD, "train": {"save": SAVE}}
    check_handler_order({**parts, "handlers": ["@guard", "%train#save", {"_target_": "StatsHandler"}, "$f()"]})
    with pytest.raises(ValueError, match=r"^handlers: PreferenceGuard stands behind SaveWeights; put it before$"):
        check_handler_order({**parts, "handlers": ["%train#save", "@guard"]})
    with pytest.raises(ValueError, match=r"^train#handlers: PreferenceGuard stands behind SaveWeights"):
        check_handler_order({"train": {"handlers": [SAVE, GUARD]}})


def test_a_command_with_handlers_in_a_wrong_order_does_not_begin(tmp_path, monkeypatch) -> None:
    overlay = tmp_path / "moved.json"
    overlay.write_text(json.dumps({"train#handlers": ["%train#mean_teacher", "%train#resume"]}))
    files = str(["configs/train.json", str(overlay)])
    monkeypatch.setattr(sys, "argv", ["/env/monai/bundle/__main__.py", "run", "training", "--config_file", files])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(ValueError, match="train#handlers: Resume stands behind MeanTeacher; put it before"):
        preflight.check_command()
