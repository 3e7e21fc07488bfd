"""The documents' links lead somewhere, and their commands are ones that the programs take."""

import argparse
import ast
import importlib
import inspect
import pkgutil
import re

import fire
import pytest
from monai.bundle import ConfigParser

from bundle.preflight import TRACKING_OPTIONS, WORKFLOW_OPTIONS, check_overrides, parse_command
from tests.documents import (
    DOCUMENTS,
    PROGRAMS,
    Command,
    anchors,
    blocks,
    commands_of,
    commands_of_program,
    links,
    name_of,
    spans,
)
from tests.integration.commands import ROOT

SHELL = {".", "for", "done", "ln", "ssh", "git", "cp"}
OTHERS = {"pip", "pytest", "ruff", "mypy", "pre-commit", "mlflow", "tensorboard", "monailabel", "bioimageio"}
"""Programs whose options are not ours to check."""
ELSEWHERE = ("bioimageio",)
"""Packages of environments of their own, whose tests run the Python that imports them."""
PATH = re.compile(r"(bundle|configs|docs|scripts|tests|\.github)/[\w./-]*")
DOTTED = re.compile(r"bundle(\.\w+)+")
MAKEFILE = (ROOT / "Makefile").read_text()
COMMAND_LINE = importlib.import_module("monai.bundle.__main__")
"""Not all functions of ``monai.bundle`` are commands."""
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"\$\((?:if )?([A-Z_]+)", MAKEFILE))
COMMANDS = [
    *(command for document in DOCUMENTS for command in commands_of(document)),
    *(command for program in PROGRAMS for command in commands_of_program(program)),
]


def parser_of(program: str) -> argparse.ArgumentParser:
    """The command line of ``scripts/PROGRAM.py``."""
    try:
        return importlib.import_module(f"scripts.{program}").parser()
    except ModuleNotFoundError as missing:
        # MONAI Label has an environment of its own; the function that makes the parser needs nothing of it
        assert "monailabel" in str(missing)
        tree = ast.parse((ROOT / "scripts" / f"{program}.py").read_text())
        names = {"__doc__": "", "ROOT": ROOT}
        exec("import argparse\nfrom pathlib import Path", names)
        body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "parser"]
        future = ast.parse("from __future__ import annotations").body
        exec(compile(ast.Module([*future, *body], []), f"{program}.py", "exec"), names)
        return names["parser"]()


def read_configs(files: str | list[str]) -> dict:
    """The configuration of ``--config_file``, but for overlays that a training writes beside its weights."""
    ours = [file for file in ([files] if isinstance(files, str) else files) if not file.startswith("models/")]
    assert ours, f"{files}: none of them is a file of the repository"
    parser = ConfigParser()
    parser.read_config(ours)
    return parser.get()


def check_bundle_command(words: list[str]) -> None:
    """``python -m monai.bundle ...``: MONAI has the command, the files exist, and so does each setting."""
    action, arguments = words[0], words[1:]
    if action == "run":
        given = parse_command(arguments)
        config = read_configs(given.pop("config_file"))
        tracking = TRACKING_OPTIONS if given.pop("tracking", None) is not None else ()
        check_overrides(given, config, (*WORKFLOW_OPTIONS, *tracking))
        named = [word for word in arguments[:1] if not word.startswith("--")]
    else:
        own = inspect.signature(getattr(COMMAND_LINE, action)).parameters
        named, given = fire.Fire(lambda *ids, **options: (list(ids), options), arguments, serialize=lambda _: None)
        if "config_file" not in own:
            assert not named and given.keys() <= own.keys(), f"{action} takes {', '.join(own)}"
            return
        config = read_configs(given["config_file"])
        assert (ROOT / given["meta_file"]).is_file()
        check_overrides({name: value for name, value in given.items() if name not in own}, config)
    for run_id in named:
        assert run_id in config, f"{run_id}: no such id in the configuration files"


def check_program(program: str, arguments: list[str]) -> None:
    """``python -m scripts.PROGRAM ...``: the program's own parser takes the arguments."""
    assert (ROOT / "scripts" / f"{program}.py").is_file(), f"there is no scripts/{program}.py"
    if arguments not in ([], ["--help"]):
        parser_of(program).parse_args(arguments)


def check_make(arguments: list[str]) -> None:
    """``make TARGET ... NAME=VALUE ...``: the Makefile has the targets, and reads the variables."""
    for word in arguments:
        name, equals, _ = word.partition("=")
        known = VARIABLES if equals else TARGETS
        assert name in known, f"make {word}: the Makefile has {', '.join(sorted(known))}"


def check(command: Command) -> None:
    """Fail where a command is none that can be typed."""
    words = list(command.words)
    for path in re.findall(r"configs/[\w./-]+\.json", " ".join(words)):
        assert (ROOT / path).is_file(), f"there is no {path}"
    if command.program == "make":
        check_make(words[1:])
    elif command.program == "torchrun":
        check(Command(command.document, ("python", *words[words.index("-m") :])))
    elif command.program.startswith("python"):
        module, arguments = (words[2], words[3:]) if words[1] == "-m" else (words[1], words[2:])
        ours = re.fullmatch(r"scripts[./](\w+?)(\.py)?", module)
        if ours and ours[1] != "NAME":  # stands for any of them
            check_program(ours[1], arguments)
        elif module == "monai.bundle" and arguments != ["run"]:  # prose names it as such
            check_bundle_command(arguments)
        else:
            assert module in ("--version", "monai.bundle", "scripts.NAME", "venv", "pip", "pytest"), (
                f"{module}: no module that documents should name"
            )
    elif not (ROOT / words[0]).is_file():
        assert command.program in SHELL | OTHERS, f"{command.program}: neither a program of ours nor one of others"


@pytest.fixture
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document):
    for link in links(document.read_text()):
        file, _, anchor = link.partition("#")
        target = document.parent / file if file else document
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target.read_text()), f"{link}: no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_paths_and_names_in_code_exist(document):
    text = document.read_text()
    for span in spans(text):
        if PATH.fullmatch(span) and f"`{span}` (new)" not in text:
            assert (ROOT / span).exists(), f"{span}: no such file"
        if DOTTED.fullmatch(span):
            pkgutil.resolve_name(span)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_commands_can_be_typed(command, in_root, capsys):
    try:
        check(command)
    except SystemExit:
        pytest.fail(capsys.readouterr().err)


def test_options_in_prose_exist():
    """Each ``--name`` in inline code is an id of a configuration or an option of a program."""
    ids = {name for path in (ROOT / "configs").rglob("*.json") for name in ConfigParser.load_config_file(path)}
    ids |= {"tracking", "config_file"}
    options = {option for path in PROGRAMS for option in re.findall(r"--[a-z-]+", parser_of(path.stem).format_help())}
    for document in DOCUMENTS:
        for span in spans(document.read_text()):
            if span.startswith("--"):
                option = span.split()[0]
                assert option in options or option[2:].lstrip("+") in ids, f"{name_of(document)}: {option}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_python_in_the_documents_can_be_imported_and_called(document):
    for block in blocks(document.read_text(), "python"):
        imported = {}
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] not in ELSEWHERE:
                module = importlib.import_module(node.module)
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
                imported |= {alias.name: getattr(module, alias.name) for alias in node.names}
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in imported:
                given = {keyword.arg: None for keyword in node.keywords}
                inspect.signature(imported[node.func.id]).bind(*node.args, **given)


@pytest.mark.parametrize(
    "words",
    [
        "make no-such-target",
        "make test FASTER=1",
        "python scripts/no_such_program.py",
        "python -m scripts.prepare_data --output x --colour red",
        "python -m scripts.label_server --studies x --port many",
        "python -m monai.bundle run --config_file configs/no_such_file.json",
        "python -m monai.bundle run --config_file configs/train.json --max_epoch 3",
        "python -m monai.bundle run no_such_id --config_file configs/train.json",
        "python -m monai.bundle no_such_command --config_file configs/train.json",
        "python -m monai.bundle push_to_hf_hub --repo ada/prefer-das --name prefer-das --bundle_dir runs",
        "python -m monai.bundle download --name prefer-das --folder bundles",
        "no_such_program",
    ],
)
def test_a_command_that_is_wrong_is_found(words, in_root):
    with pytest.raises((AssertionError, ValueError, AttributeError, SystemExit)):
        check(Command("here", tuple(words.split())))
