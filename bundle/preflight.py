"""Check that every setting on the command line exists, and turn a user's errors into one line."""

from __future__ import annotations

import difflib
import logging
import math
import re
import shlex
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.dummy import DummyProcess
from pathlib import Path
from types import TracebackType
from typing import Any

import fire
import monai.bundle
import monai.utils.module
from fire.decorators import SetParseFn
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser

from bundle.config_text import config_text
from bundle.errors import MendableError, SettingError
from bundle.handler_order import check_handler_order

WORKFLOW_OPTIONS = ("workflow_name", "workflow_type", "properties_path")
TRACKING_OPTIONS = ("output_dir", "tracking_uri", "experiment_name", "run_name", "save_execute_config")
"""Settings that MONAI reads although a configuration need not have them."""

WRAPPERS = ("Failed to instantiate component", "Failed to evaluate", "applying transform")
"""First words of errors by which MONAI wraps the error that matters."""

EXPRESSION = "<string>"
"""File name of the code of a configuration's expressions."""

TEXT_FLAGS = ("debug", "resume")
"""``fire`` passes ``true`` as a string. Allowed here because these flags are only tested for truthiness."""

THREADS_END = 20.0
"""Seconds that a worker thread gets to finish its current image."""


def check_command(debug: bool = False) -> None:
    """Check the settings of a ``python -m monai.bundle run`` command line, and let errors end it with one line.

    The first entry of ``initialize`` in a configuration. Where the bundle runs otherwise, in MONAI Label or a test,
    it does nothing.

    Args:
        debug: show errors with their traceback.

    Raises:
        SettingError: MONAI would take a misspelt setting, or one that it changes, without a word; here it is refused.
            Or handlers stand in an order that would lose something.
    """
    if not _is_command():
        return
    if not debug:
        sys.excepthook = show_error
        for handler in logging.getLogger().handlers:
            handler.addFilter(drop_traceback)
    command = parse_command(sys.argv[2:])
    files = ConfigParser()
    files.read_config(command.pop("config_file"))
    tracking = TRACKING_OPTIONS if command.pop("tracking", None) is not None else ()
    config = files.get()
    check_overrides(command, config, (*WORKFLOW_OPTIONS, *tracking))
    settings = {**config, **command}
    check_finite(settings)
    check_texts(settings)
    check_handler_order(config)


def typed_command() -> dict[str, Any] | None:
    """What this process was told on its ``python -m monai.bundle run`` command line.

    Returns:
        As :func:`parse_command`; None where the bundle runs otherwise, in MONAI Label or a test.
    """
    return parse_command(sys.argv[2:]) if _is_command() else None


def _is_command() -> bool:
    return Path(sys.argv[0]).parts[-3:] == ("monai", "bundle", "__main__.py") and sys.argv[1:2] == ["run"]


def check_crop_size(crop_size: Sequence[int], stride: int) -> None:
    """Refuse crops that the network cannot take.

    Args:
        crop_size: (x, y) in pixels.
        stride: of the network's image encoder.

    Raises:
        SettingError: not two positive multiples of the stride.
    """
    pair = isinstance(crop_size, Sequence) and len(crop_size) == 2
    if not pair or any(not isinstance(n, int) or n < 1 or n % stride for n in crop_size):
        example = [32 * stride, 32 * stride]
        raise SettingError(f"crop_size is {crop_size}, expected two multiples of {stride} such as {example}")


def check_finite(settings: Mapping[str, Any]) -> None:
    """Refuse NaN and infinity, which Python reads in JSON and makes of 1e999.

    Args:
        settings: of a command, nested ones too.

    Raises:
        SettingError: names the first that is not finite.
    """
    for name, value in _ids(settings):
        if isinstance(value, float) and not math.isfinite(value):
            raise SettingError(f"{name} is {value}, expected a finite number")


def check_texts(settings: Mapping[str, Any]) -> None:
    """Refuse texts with ``#``, such as paths, in which MONAI puts ``::`` in its place.

    Args:
        settings: of a command, nested ones too. Expressions, references and macros are code, and pass.

    Raises:
        SettingError: names the first such text, and says how to write it.
    """
    for name, value in _ids(settings):
        if isinstance(value, str) and "#" in value and not _is_reference(value):
            raise _changed(name, value, value.replace("#", "::"))


def check_positive(**settings: float) -> None:
    """Refuse what is not a finite number above 0.

    Args:
        settings: by their ids.

    Raises:
        SettingError: names the first that is not.
    """
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise SettingError(f"{name} is {value!r}, expected a number above 0")


def parse_command(arguments: list[str]) -> dict[str, Any]:
    """Read a command line as MONAI does.

    Args:
        arguments: what stands behind ``monai.bundle run``.

    Returns:
        ``config_file``, ``tracking`` when it is given, and the settings to override by id.

    Raises:
        SettingError: the command line takes what is behind a ``#`` in a value for a comment.
    """

    def collect(
        run_id: str | None = None,
        init_id: str | None = None,
        final_id: str | None = None,
        meta_file: Any = None,
        config_file: Any = None,
        logging_file: Any = None,
        tracking: Any = None,
        args_file: str | None = None,
        **override: Any,
    ) -> dict[str, Any]:
        given = {"config_file": config_file, "tracking": tracking, "args_file": args_file, **override}
        return {name: text for name, text in given.items() if text is not None}

    typed = fire.Fire(SetParseFn(str)(collect), command=arguments, serialize=lambda _: None)
    values = {name: DefaultParseValue(text) for name, text in typed.items()}
    for name, text in typed.items():
        if "#" in text and "#" not in str(values[name]):
            raise _changed(name, text, values[name])
    command = {name: value for name, value in values.items() if value is not None}
    file = command.pop("args_file", None)
    if file is not None:
        own = ("run_id", "init_id", "final_id", "meta_file", "logging_file")
        command = {**{k: v for k, v in ConfigParser.load_config_file(file).items() if k not in own}, **command}
    return command


def check_overrides(overrides: Mapping[str, Any], config: Mapping[str, Any], allowed: Sequence[str] = ()) -> None:
    """Compare settings of the command line with those of the configuration files.

    Args:
        overrides: values by id, with ``#`` or ``::`` between the parts of an id.
        config: the merged files.
        allowed: ids that need not exist.

    Raises:
        SettingError: an id does not exist, or its value is of another type than that in the files.
    """
    ids = dict(_ids(config))
    for name, value in overrides.items():
        key = name.replace("::", "#").lstrip("+")
        if key in ids:
            _check_type(name, value, ids[key])
        elif not (key in allowed or key.startswith("_meta_") or _is_argument(key, ids)):
            close = difflib.get_close_matches(key, ids, n=3, cutoff=0.6)
            remedy = f"did you mean {' or '.join('--' + c for c in close)}?" if close else "see the configuration files"
            raise SettingError(f"--{name}: there is no such setting; {remedy}")


def _ids(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All ids of a configuration with their values; keys that begin with _ are comments or MONAI's."""
    items = config.items() if isinstance(config, Mapping) else enumerate(config) if isinstance(config, list) else ()
    for name, value in items:
        if not str(name).startswith("_"):
            yield f"{prefix}{name}", value
            yield from _ids(value, f"{prefix}{name}#")


def _is_argument(key: str, ids: Mapping[str, Any]) -> bool:
    """A further argument of a component, which the component itself will check."""
    parent = ids.get(key.rpartition("#")[0])
    return isinstance(parent, Mapping) and "_target_" in parent


def _check_type(name: str, value: Any, default: Any) -> None:
    if value is None or default is None or _is_reference(value) or _is_reference(default):
        return
    if isinstance(default, bool):
        right = isinstance(value, bool) or (value == "true" and name in TEXT_FLAGS)
        expected = "True or False, with a capital letter"
    elif isinstance(default, int | float):
        whole = isinstance(default, int)
        right = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        expected = f"a {'whole ' if whole else ''}number such as {default}"
    elif isinstance(default, Mapping):
        right, expected = isinstance(value, Mapping), f"a dictionary such as {default}"
    elif isinstance(default, list):
        right, expected = isinstance(value, list | tuple), f"a list such as {default}"
    else:
        right, expected = isinstance(value, str), f"a text such as {default}"
    if not right:
        raise SettingError(f"--{name} is {value!r}, expected {expected}")


def _is_reference(value: Any) -> bool:
    """An expression, reference or macro, of which only running it tells the type."""
    return isinstance(value, str) and value[:1] in ("$", "@", "%")


def _changed(name: str, given: str, read: Any) -> SettingError:
    remedy = f"write {shlex.quote(config_text(given))} on the command line, or rename it without #"
    return SettingError(f"{name} is {given!r}, which is read as {read!r}; {remedy}")


def show_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """As ``sys.excepthook``: what a user can mend as one line, anything else, our faults, with its traceback.

    Args:
        kind: class of the error.
        error: what ended the program.
        trace: where.
    """
    line = explain(error)
    if line is None:
        sys.__excepthook__(kind, error, trace)
    else:
        sys.stderr.write(f"error: {line}\n")
    # Where one image cannot be read MONAI's cache leaves its threads at work; Python's end amid ITK's code would abort.
    for thread in threading.enumerate():
        if isinstance(thread, DummyProcess):
            thread.join(THREADS_END)


def exit_status(error: BaseException) -> int:
    """For a program of ours that caught an error: show what a user can mend as one line.

    Args:
        error: what ended the program.

    Returns:
        2, the program's exit status.

    Raises:
        BaseException: the error itself, when it may be a fault of the program.
    """
    line = explain(error)
    if line is None:
        raise error
    print(f"error: {line}", file=sys.stderr)
    return 2


def drop_traceback(record: logging.LogRecord) -> bool:
    """As a filter of a log handler: errors that get their line are logged without traceback. Returns True."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and explain(error) is not None:
        record.exc_info = record.exc_text = None
    return True


def explain(error: BaseException) -> str | None:
    """Say what a user can mend.

    Args:
        error: any error of a bundle command.

    Returns:
        One line, when it is a :class:`bundle.errors.MendableError`, a refusal of the operating system, or a
        configuration that cannot be put together; None, when it may be a fault of the program.
    """
    root = error
    while str(root).startswith(WRAPPERS) and root.__cause__ is not None:
        root = root.__cause__
    from_worker = re.search(r"^bundle\.errors\.\w+: (.*)$", str(root), re.MULTILINE)
    if from_worker:  # a worker of a data loader sends its traceback as text
        return from_worker[1]
    refused = isinstance(root, OSError) and root.errno is not None  # by the operating system; it names file and reason
    if not (isinstance(root, MendableError) or refused or _by_configuration(root)):
        return None
    return str(root).strip().partition("\n")[0] or type(root).__name__


def _by_configuration(error: BaseException) -> bool:
    """Whether MONAI's reading of the configuration failed, not what it called: an id, an argument, an expression."""
    trace = error.__traceback__
    if trace is None or not isinstance(error, Exception):
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    file = trace.tb_frame.f_code.co_filename
    return file in (EXPRESSION, monai.utils.module.__file__) or Path(file).parent == Path(monai.bundle.__file__).parent
