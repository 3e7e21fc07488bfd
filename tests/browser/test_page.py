"""A person's way through the page, in a real browser against the real server."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from tests.browser.conftest import WAIT
from tests.browser.workplace import HEIGHT, WIDTH

pytest.importorskip("playwright", reason="playwright is not installed; `make browser-test` does it")
pytestmark = pytest.mark.slow


class Canvas:
    """The image on show, in its own pixels."""

    def __init__(self, page):
        self.page = page
        box = page.locator("#image").bounding_box()
        self.scale = min(box["width"] / WIDTH, box["height"] / HEIGHT)
        self.left = (box["width"] - self.scale * WIDTH) / 2
        self.top = (box["height"] - self.scale * HEIGHT) / 2

    def click(self, x, y, **options):
        """Click the middle of a pixel; returns the mask (X,Y) bool that comes back."""
        place = {"x": self.left + (x + 0.5) * self.scale, "y": self.top + (y + 0.5) * self.scale}
        with self.page.expect_request("**/mask") as asked:
            self.page.locator("#image").click(position=place, **options)
        return mask_of(self.page, asked.value)

    def blue(self, pixels):
        """How much more blue than red the middle of each pixel (x, y) is painted."""
        places = [[int(self.left + (x + 0.5) * self.scale), int(self.top + (y + 0.5) * self.scale)] for x, y in pixels]
        return np.array(self.page.evaluate(BLUE, places))


# An image in gray has no blue of its own.
BLUE = """(places) => {
    const canvas = document.getElementById("image");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return places.map(([x, y]) => 4 * (y * canvas.width + x)).map((i) => data[i + 2] - data[i]);
}"""


def mask_of(page, asked):
    """The mask (X,Y) bool that is the answer to a request; asked for again, for Chromium does not keep what it drew."""
    response = page.request.post(asked.url, data=asked.post_data_json)
    assert response.ok
    return np.asarray(Image.open(io.BytesIO(response.body()))).T > 0


def masked(page, clicks, network="start"):
    """Wait until the mask of so many clicks is painted."""
    page.wait_for_selector(f"#image[data-masked='{clicks}'][data-network='{network}']")


def question(page, before=""):
    """Wait for a question other than before; returns its id."""
    page.wait_for_selector(f"#votes[aria-busy='false']:not([data-question='{before}'])")
    return page.locator("#votes").get_attribute("data-question")


def vote(page, name, key):
    """Vote on the question on show by a key; returns its id and what should be chosen."""
    shown = question(page)
    first = page.request.get(f"{page.url.partition('#')[0]}api/questions/{name}").json()[0]
    assert first["id"] == shown
    tiles = page.locator("#candidates button")
    assert tiles.count() == len(first["outlines"]) >= 2
    page.keyboard.press(key)
    question(page, shown)
    words = {"0": "tie", " ": "skip"}
    return shown, words.get(key) or first["outlines"][int(key) - 1]["candidate"]


def test_three_clicks_are_segmented_saved_and_found_again(visit, workplace, shoot):
    page = visit("clicks", "ada")
    masked(page, 0)
    with page.expect_request("**/mask") as asked:
        page.reload()
    before = mask_of(page, asked.value)
    assert before.shape == (WIDTH, HEIGHT)
    masked(page, 0)
    canvas = Canvas(page)
    known = [centre for centre in workplace.centres[0] if not before[centre]][:3]
    assert len(known) == 3
    x, y = np.mgrid[:WIDTH, :HEIGHT]
    for count, centre in enumerate(known, start=1):
        near = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
        around = np.argwhere((near > 16) & (near < 100))
        gray = canvas.blue(around)
        after = canvas.click(*centre)
        masked(page, count)
        new = after & ~before
        assert after[centre] and new[near < 100].sum() >= 30  # a mitochondrion is about 16 pixels across
        assert np.median((canvas.blue(around) - gray)[new[tuple(around.T)]]) > 20
        before = after
    shoot(page, "clicks")
    page.locator("#image").click(position={"x": 40, "y": 40}, modifiers=["Shift"])
    masked(page, 4)
    assert "3 foreground, 1 background" in page.locator("#click-count").inner_text()
    page.keyboard.press("z")
    masked(page, 3)
    page.keyboard.press("s")
    page.get_by_text("saved 3 clicks of section_00").wait_for()
    saved = json.loads((workplace.domain / "points.json").read_text())["points"]
    assert saved == {"images/section_00.png": {"points": [list(c) for c in known], "point_labels": [1, 1, 1]}}
    page.reload()
    masked(page, 3)
    assert "3 foreground, 0 background" in page.locator("#click-count").inner_text()
    assert page.locator("#images button").first.inner_text().split() == ["section_00", "3"]
    page.keyboard.press("n")
    page.locator("#click-count", has_text="section_01").wait_for()


def saved_clicks(page, number):
    """The clicks of an image as the server has them, as a set of (x, y, label)."""
    found = page.request.get(f"{page.url.partition('#')[0]}api/images/{number}/clicks").json()
    return {(x, y, label) for (x, y), label in zip(found["points"], found["labels"], strict=True)}


def test_two_people_click_on_one_image_and_lose_nothing(visit, workplace, shoot):
    pages = {name: visit("clicks", name) for name in ("gus", "hal")}
    for page in pages.values():
        page.locator("#images button").nth(2).click()
        page.locator("#click-count", has_text="section_02").wait_for()
        masked(page, 0)
    gus, hal = pages.values()
    Canvas(gus).click(30, 30)
    Canvas(gus).click(60, 40)
    for pixel in ((200, 150), (90, 40)):
        Canvas(hal).click(*pixel)
    masked(gus, 2)
    masked(hal, 2)
    gus.keyboard.press("s")
    gus.get_by_text("saved 2 clicks of section_02").wait_for()
    with hal.expect_response(lambda answer: answer.status == 409) as refused:
        hal.keyboard.press("s")
    assert "person:gus saved clicks" in refused.value.json()["detail"]
    hal.get_by_text("saved 4 clicks of section_02, joined with those of gus").wait_for()
    both = {(30, 30, 1), (60, 40, 1), (200, 150, 1), (90, 40, 1)}
    assert saved_clicks(hal, 2) == both
    masked(hal, 4)
    shoot(hal, "joined")
    # one takes a click back, the other adds one: both count
    gus.keyboard.press("z")
    Canvas(gus).click(120, 100)
    gus.keyboard.press("s")
    gus.get_by_text("saved 4 clicks of section_02, joined with those of hal").wait_for()
    assert saved_clicks(gus, 2) == both - {(60, 40, 1)} | {(120, 100, 1)}
    # the same pixel, one way and the other: hal's is at hand until a choice is made
    Canvas(gus).click(150, 60, modifiers=["Shift"])
    gus.keyboard.press("s")
    gus.get_by_text("saved 5 clicks of section_02").wait_for()
    Canvas(hal).click(150, 60)
    Canvas(hal).click(20, 170)
    hal.keyboard.press("s")
    hal.get_by_text("saved 6 clicks of section_02, joined with those of gus").wait_for()
    assert {(150, 60, 0), (20, 170, 1)} < saved_clicks(hal, 2)
    assert "clicked otherwise on 1 of your pixels" in hal.locator("#conflict").inner_text()
    shoot(hal, "conflict")
    hal.keyboard.press("n")
    hal.locator("#click-count", has_text="section_03").wait_for()
    assert hal.locator("#conflict").is_hidden()
    hal.keyboard.press("b")
    hal.locator("#click-count", has_text="section_02").wait_for()
    hal.get_by_role("button", name="Take mine").click()
    assert hal.locator("#conflict").is_hidden()
    hal.keyboard.press("s")
    hal.get_by_text(re.compile("saved 6 clicks of section_02$")).wait_for()
    assert (150, 60, 1) in saved_clicks(hal, 2) and (150, 60, 0) not in saved_clicks(hal, 2)
    with workplace.store as store:
        records = [r for r in store.clicks.history() if r.image.endswith("section_02.png")]
    assert {r.annotator for r in records} == {"person:gus", "person:hal"}


# Let the first save wait on its way until it is let go.
HOLD = """() => {
    const real = window.fetch;
    window.fetch = async (path, options) => {
        if (options?.method === "PUT" && !window.letGo) await new Promise((go) => { window.letGo = go; });
        return real(path, options);
    };
}"""


def test_what_is_clicked_while_a_save_is_on_its_way_is_saved_too(visit):
    page = visit("clicks", "ida")
    page.locator("#images button").nth(3).click()
    page.locator("#click-count", has_text="section_03").wait_for()
    masked(page, 0)
    Canvas(page).click(30, 30)
    page.evaluate(HOLD)
    page.keyboard.press("s")
    while not page.evaluate("Boolean(window.letGo)"):
        page.wait_for_timeout(20)
    Canvas(page).click(60, 60)
    page.keyboard.press("b")
    page.evaluate("window.letGo()")
    page.locator("#click-count", has_text="section_02").wait_for()
    assert saved_clicks(page, 3) == {(30, 30, 1), (60, 60, 1)}


def test_ten_votes_by_keyboard_with_an_undo_and_a_reload(visit, workplace, shoot):
    page = visit("votes", "ben")
    given = dict(vote(page, "ben", key) for key in "1202")
    undone = question(page)
    page.keyboard.press("1")
    following = question(page, undone)
    page.keyboard.press("u")
    assert question(page, following) == undone
    given |= dict([vote(page, "ben", "2"), vote(page, "ben", " ")])
    shown = question(page)
    page.reload()
    assert question(page) == shown
    given |= dict(vote(page, "ben", key) for key in "1221")
    shoot(page, "votes")
    assert re.search(r"votes\s+10 of \d+", page.locator("#numbers").inner_text())
    with workplace.store as store:
        kept = store.judgements(annotator="person:ben")
        every = [judgement for judgement in store.history() if judgement.annotator == "person:ben"]
    assert [(judgement.question.id, judgement.chosen) for judgement in kept] == list(given.items())
    assert len(given) == 10 and len(every) == 12
    assert every[4].question.id == every[5].question.id == undone and every[5].chosen == "undo"
    assert all(0 < judgement.seconds < 600 for judgement in kept)


def test_two_browsers_vote_at_once_on_one_queue(visit, workplace, shoot):
    pages = {name: visit("votes", name) for name in ("cleo", "dan")}
    seen = {name: [] for name in pages}
    for key in "1122121":
        shown = {name: question(page) for name, page in pages.items()}
        for page in pages.values():
            page.keyboard.press(key)  # neither waits for the other
        for name, page in pages.items():
            seen[name].append(shown[name])
            question(page, shown[name])
    assert seen["cleo"] == seen["dan"] and len(set(seen["cleo"])) == 7
    with workplace.store as store:
        for name in pages:
            stored = [j for j in store.history() if j.annotator == f"person:{name}"]
            assert [judgement.question.id for judgement in stored] == seen[name]
            assert len({judgement.uid for judgement in stored}) == 7
    pages["cleo"].reload()
    agreement = pages["cleo"].locator("#agreement", has_text="cleo and dan")
    assert re.search("cleo and dan: 100 % of 7 alike", agreement.inner_text())
    shoot(pages["cleo"], "agreement")


def test_training_by_the_button(visit, workplace, shoot):
    page = visit("votes", "eve")
    for key in "12":
        vote(page, "eve", key)
    page.keyboard.press("l")
    page.locator("#command", has_text="monai.bundle run training").wait_for()
    assert "--method slpo" in page.locator("#command").inner_text()
    page.get_by_label("LPO: votes on all").check()
    assert "--method lpo" in page.locator("#command").inner_text()
    page.get_by_role("button", name="Train", exact=True).click()
    page.wait_for_selector("#learn[data-state='running']")
    assert page.get_by_role("button", name="Stop").is_visible()
    figures = page.locator("#figures", has_text=re.compile(r"epoch [1-6] of 6, iteration \d of 5 · .*loss \d"))
    figures.or_(page.locator("#after.problem")).wait_for(timeout=3 * WAIT)
    assert figures.is_visible(), page.locator("#after").inner_text()
    shoot(page, "training")
    page.wait_for_selector("#learn[data-state='done']", timeout=4 * WAIT)
    assert page.evaluate("document.getElementById('judged').decode().then(() => judged.naturalWidth)") == 1600
    assert "preference accuracy" in page.locator("#figures").inner_text()
    assert page.locator("#curve").is_visible()
    shoot(page, "trained")
    assert (workplace.folder / "model.pt").is_file() and len(list(workplace.folder.glob("training-*.log"))) == 1
    page.locator("#see").click()
    count = page.locator("#images button").first.inner_text().split()[1:] or ["0"]
    masked(page, count[0])
    for network in ("trained", "start", "trained"):
        with page.expect_request("**/mask") as asked:
            page.keyboard.press("a")
        assert asked.value.post_data_json["network"] == network
        masked(page, count[0], network)
    shoot(page, "after-training")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_readable_in_light_and_dark(visit, shoot, scheme):
    page = visit("clicks", "finn", color_scheme=scheme)
    for job in ("clicks", "votes", "learn"):
        page.keyboard.press(job[0])
        page.wait_for_selector(f"#{job}:not([hidden])")
        page.wait_for_selector(READY[job])
        wide, tall = page.evaluate("[document.body.scrollWidth, document.body.scrollHeight]")
        assert (wide, tall) <= (1280, 720)
        for box in page.evaluate(INSIDE):
            assert box["left"] >= 0 and box["right"] <= 1280 and box["bottom"] <= 720, box
        worst = page.evaluate(CONTRAST)
        assert worst["ratio"] >= 4.5 and worst["size"] >= 12, worst
        shoot(page, f"{job}-{scheme}")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", dark))) < 80) == (scheme == "dark")
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"


# What there is once all of a job is on show.
READY = {
    "clicks": "#image[data-masked]",
    "votes": "#votes[aria-busy='false']:not([data-question=''])",
    "learn": "#learn[data-state]",
}

# Where the controls of the job on show are.
INSIDE = """[...document.querySelectorAll("header button, section:not([hidden]) :is(button, aside p, canvas)")]
    .filter((part) => part.checkVisibility() && part.getBoundingClientRect().width)
    .map((part) => ({ text: part.textContent, ...part.getBoundingClientRect().toJSON() }))"""

# The text that stands out least from its ground, as the accessibility guidelines count it (WCAG 2, 1.4.3).
CONTRAST = """(() => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = (colour) => {
        const linear = (v) => (v <= 10 ? v / 3295 : ((v / 255 + 0.055) / 1.055) ** 2.4);
        const [r, g, b] = numbers(colour).map(linear);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (part) => {
        const own = getComputedStyle(part).backgroundColor;
        const [, , , alpha = 1] = numbers(own);
        return alpha > 0.99 || !part.parentElement ? own : ground(part.parentElement);
    };
    const found = [...document.querySelectorAll("header *, section:not([hidden]) *:not(.badge)")]
        .filter((part) => part.checkVisibility() && [...part.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
        .filter((part) => !part.closest(":disabled"))
        .map((part) => {
            const [a, b] = [getComputedStyle(part).color, ground(part)].map(light);
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            return { text: part.textContent, ratio, size: parseFloat(getComputedStyle(part).fontSize) };
        });
    const least = (key) => found.reduce((a, b) => (b[key] < a[key] ? b : a));
    return { ...least("ratio"), size: least("size").size, smallest: least("size").text };
})()"""


def test_the_token_is_nowhere_to_be_seen(visit, server):
    page = visit("votes", "gil")
    question(page)
    assert page.url == f"{server.url}/#votes" and "token" in server.address
    assert page.evaluate("[document.cookie, document.referrer, history.length]") in (["", "", 1], ["", "", 2])
    (cookie,) = page.context.cookies()
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and cookie["name"].endswith(server.url.split(":")[2])


def test_a_link_on_another_site_opens_the_page(browser, server):
    context = browser.new_context()
    page = context.new_page()
    page.route(
        "http://elsewhere.example/",
        lambda route: route.fulfill(content_type="text/html", body=f'<a href="{server.address}">join</a>'),
    )
    page.goto("http://elsewhere.example/")
    page.get_by_text("join").click()
    page.wait_for_selector(READY["clicks"])
    assert page.url == f"{server.url}/#clicks"
    context.close()


def test_on_a_full_disk_the_vote_stays_and_is_sent_again(visit, workplace, expected):
    expected.append("507")
    page = visit("votes", "hal")
    shown = question(page)
    sent = []

    def full(route):
        sent.append(route.request.post_data_json)
        route.fulfill(status=507, json={"detail": "full; make room, then send it again"})

    page.route("**/api/judgements", full)
    page.keyboard.press("1")
    page.get_by_text("full; make room, then send it again").wait_for()
    assert question(page) == shown and len(sent) == 1
    page.unroute("**/api/judgements")
    page.keyboard.press("1")
    question(page, shown)
    with workplace.store as store:
        (kept,) = store.judgements(annotator="person:hal")
    assert (kept.question.id, kept.uid) == (shown, sent[0]["uid"])
