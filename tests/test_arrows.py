"""Arrows point one way: no module imports one that stands above it, and no imports go in a circle."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = (
    ("scripts",),
    ("annotate",),
    ("handlers",),
    ("transforms",),
    ("preferences", "volumes"),
    ("engines", "inferers", "metrics", "data", "synthetic"),
    ("losses", "self_training", "networks"),
    ("state_files", "json_files"),
    ("atomic", "batches", "channels", "config_text", "errors", "handler_order", "keys", "preflight"),
)
"""From the top down. A room may import its own floor and those below."""

HEIGHT = {room: -number for number, floor in enumerate(FLOORS) for room in floor}


def modules(root: Path) -> dict[str, Path]:
    """Each module of bundle and scripts. The app of MONAI Label names its parts in its own way: ``lib``."""
    files = [file for folder in ("bundle", "scripts") for file in sorted((root / folder).rglob("*.py"))]
    names = {file: file.relative_to(root).with_suffix("").as_posix().replace("/", ".") for file in files}
    return {name.removesuffix(".__init__"): file for file, name in names.items() if ".no_torchvision." not in name}


def imports(name: str, file: Path, known: dict[str, Path]) -> set[str]:
    """The modules that a module imports when it is imported, or later from within a function; not those of its types.

    Importing a name of a package counts as importing the package, whatever room the package has it from.
    """
    found: set[str] = set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            for _ in range(max(0, node.level - 1)):
                package = package.rpartition(".")[0]
            module = ".".join(part for part in ((package if node.level else ""), node.module or "") if part)
            below = {f"{module}.{alias.name}" for alias in node.names}
            found |= (below & set(known)) | ({module} if below - set(known) else set())
    return {module for module in found if module in known and module != name}


def room(module: str) -> str:
    """The room of a module: ``scripts``, or the part behind ``bundle``."""
    first, _, rest = module.partition(".")
    return first if first == "scripts" else rest.partition(".")[0]


@cache
def graph(root: Path = ROOT) -> dict[str, set[str]]:
    known = modules(root)
    return {name: imports(name, file, known) for name, file in known.items()}


def upward(found: dict[str, set[str]]) -> list[str]:
    """Imports of what stands higher."""
    return sorted(
        f"{name} imports {other}"
        for name, others in found.items()
        for other in others
        if HEIGHT.get(room(other), 0) > HEIGHT.get(room(name), 0)
    )


def test_every_room_has_a_floor() -> None:
    assert {room(name) for name in graph()} - {""} <= set(HEIGHT)


def test_no_import_points_up() -> None:
    assert upward(graph()) == []


def test_no_imports_go_in_a_circle() -> None:
    list(TopologicalSorter(graph()).static_order())  # names a circle


def test_no_folders_go_in_a_circle() -> None:
    """Who imports a module of a folder runs the folder's ``__init__`` too, and with it all that this imports."""
    found = graph()

    def started(name: str) -> str:
        is_folder = any(other.startswith(f"{name}.") for other in found)
        folder = name if is_folder else name.rpartition(".")[0]
        return folder if found.get(folder) else name

    folders: dict[str, set[str]] = {}
    for name, others in found.items():
        folders.setdefault(started(name), set()).update({started(other) for other in others} - {started(name)})
    list(TopologicalSorter(folders).static_order())


@pytest.mark.parametrize(
    ("line", "broken"),
    [
        ("from bundle.handlers import b", True),
        ("from bundle import handlers", True),
        ("from ..handlers.b import c", True),
        ("def f():\n    import bundle.handlers.b", True),
        ("from bundle.errors import DataError", False),
        ("if TYPE_CHECKING:\n    from bundle.handlers import b", False),
    ],
)
def test_an_arrow_that_points_up_is_found(tmp_path, line, broken) -> None:
    for name in ("bundle", "bundle/handlers", "bundle/networks", "scripts"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "bundle/handlers/b.py").touch()
    (tmp_path / "bundle/errors.py").touch()
    (tmp_path / "bundle/networks/a.py").write_text(line)
    found = upward(graph(tmp_path))
    assert bool(found) is broken
    assert all(line.startswith("bundle.networks.a imports bundle.handlers") for line in found)
