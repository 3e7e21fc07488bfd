"""Every module of the bundle that does something has a test file."""

import ast

from tests.integration.commands import ROOT

ELSEWHERE = {
    "annotate/click_service": "annotate/test_clicks",
    "annotate/click_routes": "annotate/test_clicks",
    "annotate/lifeline": "annotate/test_lost_server",
    "annotate/training_lock": "annotate/test_lost_server",
    "annotate/training_routes": "annotate/test_training_process",
    "annotate/vote_routes": "annotate/test_server",
    "annotate/vote_service": "annotate/test_server",
    "data/gray_sections": "data/test_prepare_data",
    "data/image_headers": "data/test_image_headers",
    "data/preparation": "data/test_prepare_data",
    "data/published": "data/test_published_preparation",
    "engines/parts_trainer": "engines/test_divergence",
    "handlers/preference_statistics": "handlers/test_preference_statistics_handler",
    "handlers/logged_network": "integration/test_tracking",
    "handlers/tracked_run": "integration/test_tracking",
    "handlers/tracked_validation": "integration/test_tracking",
    "handlers/tracking_guard": "integration/test_tracking_server",
    "preferences/store/click_records": "preferences/store/test_click_store",
    "preferences/store/records": "preferences/store/test_judgement_store",
    "preferences/store/sqlite_place": "preferences/store/test_sqlite_file",
    "preferences/store/sqlite_tables": "preferences/store/test_sqlite_file",
    "preflight": "integration/test_errors",
}
"""Modules, or packages, that are tested through what uses them, and the test file that does."""


def has_behaviour(path) -> bool:
    """Whether a module defines a function or a method."""
    return any(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(path.read_text())))


def test_each_module_has_a_test_file():
    missing = []
    for path in sorted((ROOT / "bundle").rglob("*.py")):
        module = path.relative_to(ROOT / "bundle").with_suffix("")
        known = ELSEWHERE.keys() & {module.as_posix(), module.parent.as_posix()}
        mirrored = ROOT / "tests" / module.parent / f"test_{module.name}.py"
        if not (known or path.name == "__init__.py" or mirrored.is_file()) and has_behaviour(path):
            missing.append(f"{module}: expected {mirrored.relative_to(ROOT)}")
    assert missing == []


def test_what_is_tested_elsewhere_is_there():
    for module, test in ELSEWHERE.items():
        assert (ROOT / "bundle" / f"{module}.py").is_file() or (ROOT / "bundle" / module).is_dir(), module
        assert (ROOT / "tests" / f"{test}.py").is_file(), test
        assert not (ROOT / "tests" / module).with_name(f"test_{module.rpartition('/')[2]}.py").is_file() or (
            module == "data/image_headers"
        ), f"{module} has a test file of its own now"
