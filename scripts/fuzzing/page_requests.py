"""Requests to the page's application behind its gate: bodies, addresses, headers and methods."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import traceback
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import unquote

from bundle.annotate.request_guard import Gate
from scripts.fuzzing.images import SECRET
from scripts.fuzzing.json_mutations import mutate_json
from scripts.fuzzing.mutations import mutate
from scripts.fuzzing.target import BrokenPromise, Target, check_line
from scripts.fuzzing.tiny_page import TinyPage

TOKEN = "a-token-of-the-fuzzer"
HOST = "127.0.0.1:8000"
KEPT = 250
"""Requests that one page gets: what they leave behind is looked at by those that follow, but does not grow for ever."""
FILE = "request.json"
QUESTION, VERSION = "@question@", "@version@"
"""In a body, the id of a question that is there, and the version of the clicks in the image that bodies are about."""

CLICKS = {"points": [[10, 12], [3, 4]], "labels": [1, 0]}
VOTE = {"uid": "0" * 32, "annotator": "ada", "question": QUESTION, "chosen": 1, "seconds": 2.5}
KEPT_SOUND = 0.15
"""Share of the bodies that differ from sound ones in their numbers alone, so that the page gets something to keep."""
BODIES: tuple[tuple[str, str, Any], ...] = (
    ("PUT", "/api/images/1/clicks", {**CLICKS, "uid": "3" * 32, "annotator": "ada", "version": VERSION}),
    ("POST", "/api/images/0/mask", {**CLICKS, "network": "start"}),
    ("POST", "/api/judgements", VOTE),
    ("POST", "/api/judgements", {**VOTE, "chosen": "tie", "uid": "1" * 32}),
    ("POST", "/api/judgements", {**VOTE, "chosen": "undo", "uid": "2" * 32}),
    ("POST", "/api/training", {"method": "lpo"}),
    ("POST", "/api/training/stop", {}),
)
READ = (
    *("/", "/page.js", "/page.css", "/api/images", "/api/images/0/picture", "/api/images/1/clicks", "/api/agreement"),
    *("/api/questions/ada", "/api/progress/ada", "/api/training", "/api/training/picture"),
)
WORDS = (
    QUESTION,
    VERSION,
    "start",
    "trained",
    "ada",
    "none",
    "tie",
    "skip",
    "undo",
    "0" * 32,
    "0" * 64,
    "lpo",
    [31, 23],
    [32, 24],
)
PATH_TOKENS = (
    b"../ ..%2f %2e%2e/ %00 %0a %ff %c3%28 // /./ ?token= ?x=1&x=2 # ; %25 \\ /etc/passwd api/ images/ 0 -1 1e3 ..; * "
    b"? 99999999999999999999 picture clicks index.html %ef%bc%8f %u0000 :8000 http://evil/ @ ?token=%ff"
).split()
HEADERS = (
    ("host", HOST),
    ("content-type", "application/json"),
    ("origin", f"http://{HOST}"),
    ("authorization", f"token {TOKEN}"),
    ("cookie", f"prefer-das-token={TOKEN}"),
)
HEADER_TOKENS = (
    b"http://[::1 http://[ http://] null https:// evil.example 127.0.0.1 [::1]:8000 localhost:99999 localhost:x token+ "
    b'token%20 bytes=0- bytes=-1 bytes=9-1 bytes=0-0,1-1,2-2 gzip chunked 0 -1 99999999999999999999 W/"x" *; '
    b'prefer-das-token="; $Version=1; a=b=c;;, \xff\xfe multipart/form-data;boundary= charset=utf-7 application/json;'
).split()
OTHER_HEADERS = (
    *("accept", "range", "if-none-match", "if-modified-since", "content-length", "transfer-encoding", "connection"),
    *("accept-encoding", "x-forwarded-for", "referer", "expect", "upgrade", "sec-fetch-site", "x" * 300),
)
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "X", "")

Headers = list[tuple[str, str]]


class Requests(Target):
    """Requests whose address, headers or method are damaged, seldom the body."""

    group = "requests"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.loop = asyncio.new_event_loop()
        self.held.callback(self.loop.close)
        self.log = LastError()
        logging.getLogger().addHandler(self.log)
        (folder / "secret.txt").write_bytes(SECRET)
        self.answered = 0
        self.page: TinyPage | None = None
        self.held.callback(self.shut)

    def shut(self) -> None:
        """Close the page, if there is one."""
        if self.page is not None:
            self.page.close()
        self.page = None

    def open(self) -> TinyPage:
        """The page, a new one after some requests."""
        if self.page is None or self.answered % KEPT == 0:
            self.shut()
            shutil.rmtree(self.folder / "page", ignore_errors=True)
            (self.folder / "page").mkdir()
            self.page = TinyPage(self.folder / "page")
            self.gate = Gate(self.page.app, token=TOKEN, rate=1e9, burst=10**9)
        return self.page

    def mutate(self, random: Random) -> dict[str, bytes]:
        """Damage a request."""
        method, path, body = random.choice((*BODIES, *(("GET", path, None) for path in READ)))
        data = b"" if body is None else json.dumps(body).encode()
        return written(method, path, list(HEADERS), data, random, ("path", "headers", "headers", "method"))

    def attack(self, given: Path) -> str | None:
        """Send it; the page must still answer afterwards."""
        page = self.open()
        method, path, headers, body = json.loads((given / FILE).read_text())
        data = body.encode("latin-1").replace(QUESTION.encode(), page.questions[0].id.encode())
        data = data.replace(f'"{VERSION}"'.encode(), str(page.click_service.clicks(1).version).encode())
        self.answered += 1
        try:
            line = self.ask(method, path, headers, data)
            if self.answered % 10 == 0:
                for still in ("/api/images", "/api/progress/ada", "/api/questions/ada"):
                    if refused := self.ask("GET", still, list(HEADERS), b""):
                        raise BrokenPromise(f"from now on {still} is refused: {refused}")
        except BaseException:
            self.answered = 0  # with a new page next time
            raise
        return line

    def ask(self, method: str, target: str, headers: Sequence[Sequence[str]], body: bytes) -> str | None:
        """Send a request as uvicorn would; returns the line that refused it.

        Raises:
            BrokenPromise: it was answered in another way.
        """
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }
        self.log.text = ""
        status, told, answer = self.loop.run_until_complete(exchange(self.gate, scope, body))
        if status >= 500:
            raise BrokenPromise(f"{self.log.text}\nstatus {status}: {answer[:300]!r}")
        if b"content-security-policy" not in told:
            raise BrokenPromise(f"status {status} lacks the headers of the gate")
        if SECRET[:16] in answer or TOKEN.encode() in answer:
            raise BrokenPromise(f"status {status} tells a secret")
        if status < 400:
            return None
        try:
            plain = told.get(b"content-type", b"").startswith(b"text/plain")  # Starlette's own, such as of a Range
            line = answer.decode() if plain else json.loads(answer)["detail"]
        except (ValueError, TypeError, KeyError):
            if method == "HEAD":
                return f"status {status}"
            raise BrokenPromise(f"status {status} has no line: {answer[:300]!r}") from None
        check_line(line)
        return f"{status} {line}"


class Bodies(Requests):
    """Requests whose body is damaged, mostly as JSON."""

    group = "bodies"

    def mutate(self, random: Random) -> dict[str, bytes]:
        """Damage the body of a request."""
        method, path, body = random.choice(BODIES)
        if random.random() < KEPT_SOUND:
            count = random.randrange(9)
            points = [[random.randrange(-1, 34), random.randrange(-1, 26)] for _ in range(count)]
            new = {"points": points, "labels": [random.randrange(2) for _ in points], "uid": random.randbytes(16).hex()}
            data = json.dumps({name: new.get(name, value) for name, value in body.items()}).encode()
        elif random.random() < 0.85:
            data = mutate_json(body, random, WORDS)
        else:
            data = mutate(json.dumps(body).encode(), random, (b"NaN", b"\xff", b"[[[[", b'"\\ud800"', b"1e999"))
        return written(method, path, list(HEADERS), data, random)


class LastError(logging.Handler):
    """Keeps the traceback of the last error that was logged."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        if record.exc_info:
            self.text = "".join(traceback.format_exception(*record.exc_info))


def written(
    method: str, path: str, headers: Headers, body: bytes, random: Random, damaged: Sequence[str] = ()
) -> dict[str, bytes]:
    """A request as the one file of a case, with one of the parts ``damaged`` damaged."""
    part = random.choice(damaged) if damaged else ""
    if part == "path":
        path = mutate(path.encode(), random, PATH_TOKENS).decode("latin-1")
        path = "/" + path.lstrip("/") if random.random() < 0.8 else path
    elif part == "headers":
        headers = damaged_headers(headers, random)
    elif part == "method":
        method = random.choice(METHODS)
    # what no HTTP server would let through
    headers = [(name, value.translate({0: " ", 10: " ", 13: " "})) for name, value in headers]
    path = "".join(letter for letter in path if "!" <= letter <= "~")
    request = [method, path, headers, body.decode("latin-1")]
    return {FILE: json.dumps(request).encode()}


def damaged_headers(headers: Headers, random: Random) -> Headers:
    """Headers of which one is changed, left out or said twice, or with a further one."""
    headers, at, way = list(headers), random.randrange(len(headers)), random.randrange(5)
    name, value = headers[at]
    token = random.choice(HEADER_TOKENS).decode("latin-1")
    if way == 0:
        del headers[at]
    elif way == 1:
        headers[at] = name, mutate(value.encode(), random, HEADER_TOKENS).decode("latin-1")
    elif way == 2:
        headers[at] = name, token
    elif way == 3:
        headers.insert(random.randrange(len(headers) + 1), (name, random.choice((value, token))))
    else:
        headers.append((random.choice(OTHER_HEADERS), token))
    return headers


async def exchange(app: Any, scope: dict[str, Any], body: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    """Give a request to an application; returns status, headers and body of its answer."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    starts = [message for message in sent if message["type"] == "http.response.start"]
    if len(starts) != 1:
        raise BrokenPromise(f"answered {len(starts)} times")
    answer = b"".join(message.get("body", b"") for message in sent)
    return starts[0]["status"], dict(starts[0]["headers"]), answer
