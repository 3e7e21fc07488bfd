"""docs/papers.md names every paper that the code names, and its files hold what it says."""

import re

from tests.integration.commands import ROOT

PAPERS = (ROOT / "docs" / "papers.md").read_text()
ROWS = [line for line in PAPERS.splitlines() if line.startswith("| ") and not line.startswith(("| what", "| ---"))]
NUMBER = re.compile(r"\b\d{4}\.\d{5}\b|\bdoi:10\.[\w./]*\w")
PLACE = re.compile(r"`(bundle/[\w/]+\.py)` `(\w+)` \|$")


def test_every_paper_of_the_code_is_named():
    missing = {
        f"{path.relative_to(ROOT)}: {number}"
        for folder in ("bundle", "configs")
        for path in (ROOT / folder).rglob("*.*")
        if path.suffix in (".py", ".json")
        for number in NUMBER.findall(path.read_text())
        if number not in PAPERS
    }
    assert missing == set()


def test_no_paper_is_named_that_the_code_does_not():
    code = "".join(path.read_text() for path in (ROOT / "bundle").rglob("*.py"))
    assert [number for number in NUMBER.findall(PAPERS) if number not in code] == []


def test_each_formula_has_its_place():
    assert len(ROWS) > 30
    for row in ROWS:
        place = PLACE.search(row)
        assert place, f"{row}: names no file and name in it"
        file = ROOT / place[1]
        assert file.is_file(), f"{place[1]}: no such file"
        assert re.search(rf"\b{place[2]}\b", file.read_text()), f"{place[1]}: holds no {place[2]}"


def test_each_loss_has_a_formula():
    for path in (ROOT / "bundle" / "losses").glob("[a-z]*.py"):
        assert f"`bundle/losses/{path.name}`" in PAPERS
