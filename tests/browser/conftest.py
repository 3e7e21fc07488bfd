"""A browser, the server it looks at, and where the screenshots go."""

import shutil
from pathlib import Path

import pytest

from tests.integration.commands import ROOT

SHOTS = ROOT / "runs" / "browser"
SIZE = {"width": 1280, "height": 720}
WAIT = 120_000
"""Milliseconds; machines that do other work at the same time are slow."""


@pytest.fixture(scope="session")
def workplace(tmp_path_factory):
    from tests.browser.workplace import make_workplace

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return make_workplace(tmp_path_factory.mktemp("workplace"))


@pytest.fixture(scope="session")
def server(workplace):
    from tests.browser.workplace import Server

    running = Server(workplace)
    yield running
    running.close()


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    if not found:
        pytest.skip("no chromium on this machine; Debian's package `chromium` has one")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found[0], args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def expected():
    """Texts of problems that a test brings about."""
    return []


@pytest.fixture
def visit(browser, server, expected):
    """Opens the page as a person; in the end nothing may have gone wrong, and no other address was asked."""
    contexts, problems, asked = [], [], []

    def open_page(job, name, **options):
        context = browser.new_context(viewport=SIZE, **options)
        contexts.append(context)
        context.add_init_script(f"localStorage.getItem('name') ?? localStorage.setItem('name', '{name}')")
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.on("console", lambda said: problems.append(said.text) if is_problem(said) else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{server.address}#{job}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [
        problem for problem in problems if not any(text in problem for text in expected)
    ] == []  # violations of the content security policy are among these
    assert asked and all(url.startswith((f"{server.url}/", f"blob:{server.url}")) for url in asked)


def is_problem(said):
    """An error on the console, other than the browser's line about a save that came second."""
    return said.type == "error" and "status of 409" not in said.text


@pytest.fixture
def shoot():
    """Keeps a screenshot."""
    SHOTS.mkdir(parents=True, exist_ok=True)

    def take(page, name):
        page.screenshot(path=SHOTS / f"{name}.png")

    return take


def pytest_terminal_summary(terminalreporter):
    """Say where the screenshots are."""
    for file in sorted(Path(SHOTS).glob("*.png")):
        terminalreporter.write_line(f"screenshot: {file.relative_to(ROOT)}")
