"""Checks of requests before the annotation server sees them: host, token, size, rate, headers."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "prefer-das-token"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
LET_IN = "let in"
"""In the state of a request that came past the checks, for :mod:`bundle.annotate.connections`."""
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
FAILED = "the server failed at this request; its log says why"

logger = logging.getLogger(__name__)


class Bodies(NamedTuple):
    """What a request may carry.

    Attributes:
        types: content types; an empty one lets in requests that name none.
        largest: in bytes.
    """

    types: Collection[str] = ("application/json",)
    largest: int = 1 << 18


class RefusedError(Exception):
    """A request that is answered by the gate itself.

    Attributes:
        status: HTTP status.
        detail: one line for the sender.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Gate:
    """ASGI middleware that answers refused requests itself and passes the others on.

    - Only requests that name one of its hosts, so that no page from elsewhere can reach the server under a name of its
      own (DNS rebinding).
    - With a token, only requests that carry it: as the header ``Authorization: token ...``, or in the cookie that is
      set when the page is opened as ``/?token=...``. That address is left at once for the one without the token.
    - Requests that change something must be JSON and must not come from another site's page (``Origin``).
    - Bodies and rates are limited, per address. Requests with the token have a budget of their own.
    - An error of the application is logged here and answered in one line.

    Args:
        app: the application behind the gate.
        token: the token; None for none.
        hosts: names under which it answers, without port; None for any.
        largest_body: in bytes.
        rate: requests a second that one address may go on making without the token.
        burst: requests that one address may make at once without it.
        inside: factor of both for requests with the token.
        clock: seconds, for tests.
        origins: pages of other sites, such as ``https://viewer.example``, whose requests are let in too.
        public: paths that need no token.
        bodies: by start of the path, where something else than JSON up to ``largest_body`` is taken; the first that
            fits counts.
    """

    def __init__(
        self,
        app: App,
        token: str | None = None,
        hosts: Collection[str] | None = LOOPBACK,
        largest_body: int = 1 << 18,
        rate: float = 100.0,
        burst: int = 300,
        inside: int = 10,
        clock: Callable[[], float] = time.monotonic,
        origins: Collection[str] = (),
        public: Collection[str] = (),
        bodies: Mapping[str, Bodies] | None = None,
    ) -> None:
        self.app = app
        self.token = token
        self.hosts = hosts
        self.largest_body = largest_body
        self.rate = rate
        self.burst = burst
        self.inside = inside
        self.clock = clock
        self.origins = origins
        self.public = public
        self.bodies = dict(bodies or {})
        self.allowances: OrderedDict[tuple[str, bool], tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                kept = [(name, value) for name, value in message.get("headers", []) if name.decode() not in HEADERS]
                message["headers"] = [*kept, *ours]
            await send(message)

        try:
            if scope["type"] != "http":
                raise RefusedError(400, "this server speaks plain HTTP only")
            entering = self._is_entering(scope)
            known = entering or self._is_known(scope)
            self._check_rate(scope, known)
            self._check_host(scope)
            if not known and scope["path"] not in self.public:
                raise RefusedError(
                    401, "the token is missing or wrong; open the address that the server printed at its start"
                )
            if entering:
                await self._enter(scope, send_with_headers)
                return
            self._check_change(scope)
            if known:
                scope.setdefault("state", {})[LET_IN] = True
            body = await self._read(scope, receive)
            await self.app(scope, replay(body, receive), send_with_headers)
        except RefusedError as refused:
            await say(send_with_headers, refused.status, refused.detail)
        except Exception:
            logger.exception("%s %s failed", scope.get("method"), scope.get("path"))
            if not begun:
                await say(send_with_headers, 500, FAILED)

    def _check_rate(self, scope: Scope, known: bool) -> None:
        more = self.inside if known and self.token is not None else 1
        rate, burst = self.rate * more, float(self.burst * more)
        key = ((scope.get("client") or ("?", 0))[0], known)
        now = self.clock()
        left, then = self.allowances.pop(key, (burst, now))
        left = min(burst, left + (now - then) * rate) - 1
        self.allowances[key] = (max(left, 0.0), now)
        if len(self.allowances) > 1024:
            self.allowances.popitem(last=False)
        if left < 0:
            raise RefusedError(429, f"more than {rate:g} requests a second; try again a little later")

    def _check_host(self, scope: Scope) -> None:
        if self.hosts is not None and host_of(header(scope, "host")) not in self.hosts:
            raise RefusedError(421, f"this server answers as {' or '.join(self.hosts)} only")

    def _is_entering(self, scope: Scope) -> bool:
        """Whether this opens the page by the address that the server printed."""
        if self.token is None or scope["method"] not in ("GET", "HEAD") or scope["path"] != "/":
            return False
        asked = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])
        return any(hmac.compare_digest(value.encode(), self.token.encode()) for value in asked)

    def _is_known(self, scope: Scope) -> bool:
        if self.token is None:
            return True
        bearer = b"token " + self.token.encode()
        cookie = self._cookie(scope).encode()
        return hmac.compare_digest(header(scope, "authorization").encode("latin-1"), bearer) or any(
            hmac.compare_digest(part.strip(), cookie)
            for name, value in scope["headers"]
            if name == b"cookie"
            for part in value.split(b";")
        )

    def _cookie(self, scope: Scope) -> str:
        """The cookie that stands for the token. Its name has the port, since a browser shares cookies between ports."""
        port = re.search(r":([0-9]+)$", header(scope, "host"))
        return f"{COOKIE}-{port[1] if port else 80}={hashlib.sha256((self.token or '').encode()).hexdigest()}"

    async def _enter(self, scope: Scope, send: Send) -> None:
        """Hand out the cookie, and send the browser to the address without the token."""
        # After a link on another site a browser keeps a strict cookie back from a redirection, not from a refresh.
        linked = header(scope, "sec-fetch-site") == "cross-site"
        status, there = (200, (b"refresh", b"0; url=./")) if linked else (303, (b"location", b"./"))
        cookie = f"{self._cookie(scope)}; HttpOnly; SameSite=Strict; Path=/"
        headers = [there, (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _check_change(self, scope: Scope) -> None:
        if scope["method"] in ("GET", "HEAD"):
            return
        origin, host = header(scope, "origin"), header(scope, "host")
        if origin and origin not in (f"http://{host}", f"https://{host}", *self.origins):
            raise RefusedError(403, "requests from pages of other sites are not answered")
        types = self._bodies(scope).types
        if header(scope, "content-type").partition(";")[0].strip().lower() not in types:
            raise RefusedError(415, f"send {' or '.join(filter(None, types))} (content-type)")

    def _bodies(self, scope: Scope) -> Bodies:
        fitting = (bodies for start, bodies in self.bodies.items() if scope["path"].startswith(start))
        return next(fitting, Bodies(largest=self.largest_body))

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        told = header(scope, "content-length")
        largest = self._bodies(scope).largest
        if told and header(scope, "transfer-encoding"):
            raise RefusedError(400, "the request gives its length in two ways")
        if told and (not re.fullmatch("[0-9]{1,18}", told) or int(told) > largest):
            raise RefusedError(413, f"more than {largest} bytes")
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise RefusedError(400, "the request broke off")
            body += message.get("body", b"")
            if len(body) > largest:
                raise RefusedError(413, f"more than {largest} bytes")
            if not message.get("more_body", False):
                return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """Receive a body that was read already, then whatever follows."""
    given = False

    async def received() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return received


async def say(send: Send, status: int, detail: str) -> None:
    """Answer with one line, in the form of FastAPI's errors."""
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def one_line(text: str, longest: int = 500) -> str:
    """A message as it may be told outside: one line, not too long, of characters that can be shown.

    What a request holds may stand in it.
    """
    shown = "".join(char if char.isprintable() else " " for char in text[: 2 * longest])
    shown = " ".join(shown.split()) or "unusable"
    return shown if len(shown) <= longest else f"{shown[: longest - 2]} …"


def header(scope: Scope, name: str) -> str:
    """A header of a request, empty where it has none."""
    wanted = name.encode()
    return next((value.decode("latin-1") for found, value in scope["headers"] if found == wanted), "")


def host_of(host: str) -> str:
    """A ``Host`` header without its port, in small letters; empty where it is malformed."""
    found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^\[\]:]*)(:[0-9]*)?", host.lower())
    return found[1] if found else ""
