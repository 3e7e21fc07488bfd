"""What stands between the network and the annotation server: hosts, token, sizes, rates, headers."""

from __future__ import annotations

import hmac
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "prefer-das-token"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
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
        detail: one line for whoever sent it.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Gate:
    """ASGI middleware that lets in what may come in.

    - Without a token, only requests that name this machine's loopback as their host, so that no page from elsewhere
      can reach the server under a name of its own (DNS rebinding).
    - With a token, only requests that carry it: as ``?token=``, once, after which a cookie holds it, or as the header
      ``Authorization: token ...``.
    - What would change something only as JSON, and not from another site's page (``Origin``).
    - Bodies up to a size, and so many requests a second from one address.
    - An error inside is logged here and told outside in one line.

    Args:
        app: what is behind the gate.
        token: the token; None for none, on the loopback alone.
        largest_body: in bytes.
        rate: requests a second that one address may go on making.
        burst: requests that one address may make at once.
        clock: seconds, for tests.
        hosts: names that the server answers to; None for the loopback's without a token, and any with one.
        origins: pages of other sites, such as ``https://viewer.example``, whose requests are let in too.
        public: paths that need no token.
        bodies: by start of the path, where something else than JSON up to ``largest_body`` is taken; the first that
            fits counts.
    """

    def __init__(
        self,
        app: App,
        token: str | None = None,
        largest_body: int = 1 << 18,
        rate: float = 100.0,
        burst: int = 300,
        clock: Callable[[], float] = time.monotonic,
        hosts: Collection[str] | None = None,
        origins: Collection[str] = (),
        public: Collection[str] = (),
        bodies: Mapping[str, Bodies] | None = None,
    ) -> None:
        self.app = app
        self.token = token
        self.largest_body = largest_body
        self.rate = rate
        self.burst = burst
        self.clock = clock
        self.hosts = LOOPBACK if hosts is None and token is None else hosts
        self.origins = origins
        self.public = public
        self.bodies = dict(bodies or {})
        self.allowances: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        begun = let_in = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                kept = [(name, value) for name, value in message.get("headers", []) if name.decode() not in HEADERS]
                message["headers"] = [*kept, *ours, *(self._cookie(scope) if let_in else [])]
            await send(message)

        try:
            if scope["type"] != "http":
                raise RefusedError(400, "this server speaks plain HTTP only")
            self._check_rate(scope)
            self._check_host(scope)
            self._check_token(scope)
            self._check_change(scope)
            body = await self._read(scope, receive)
            let_in = True
            await self.app(scope, replay(body, receive), send_with_headers)
        except RefusedError as refused:
            await say(send_with_headers, refused.status, refused.detail)
        except Exception:
            logger.exception("%s %s failed", scope.get("method"), scope.get("path"))
            if not begun:
                await say(send_with_headers, 500, FAILED)

    def _check_rate(self, scope: Scope) -> None:
        address = (scope.get("client") or ("?", 0))[0]
        now = self.clock()
        left, then = self.allowances.pop(address, (float(self.burst), now))
        left = min(float(self.burst), left + (now - then) * self.rate) - 1
        self.allowances[address] = (max(left, 0.0), now)
        if len(self.allowances) > 1024:
            self.allowances.popitem(last=False)
        if left < 0:
            raise RefusedError(429, f"more than {self.rate:g} requests a second; try again a little later")

    def _check_host(self, scope: Scope) -> None:
        if self.hosts is not None and host_of(header(scope, "host")) not in self.hosts:
            raise RefusedError(421, f"this server answers as {' or '.join(self.hosts)} only")

    def _check_token(self, scope: Scope) -> None:
        if self.token is None or scope["path"] in self.public:
            return
        asked = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        given = (asked, header(scope, "authorization").removeprefix("token "), cookie_of(scope))
        if not any(hmac.compare_digest(value.encode(), self.token.encode()) for value in given):
            raise RefusedError(
                401, "the token is missing or wrong; open the address that the server printed at its start"
            )

    def _check_change(self, scope: Scope) -> None:
        if scope["method"] in ("GET", "HEAD"):
            return
        origin = header(scope, "origin")
        if origin and origin not in self.origins and urlsplit(origin).netloc != header(scope, "host"):
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
        if told and (not told.isdigit() or int(told) > largest):
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

    def _cookie(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """Keep the token of an address that carries it, so that it need not stand in every address."""
        if self.token is None or b"token=" not in scope.get("query_string", b""):
            return []
        value = f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/"
        return [(b"set-cookie", value.encode())]


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


def header(scope: Scope, name: str) -> str:
    """A header of a request, empty where it has none."""
    wanted = name.encode()
    return next((value.decode("latin-1") for found, value in scope["headers"] if found == wanted), "")


def host_of(host: str) -> str:
    """A ``Host`` header without its port."""
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]


def cookie_of(scope: Scope) -> str:
    """The token in a request's cookie, empty where it has none."""
    try:
        found = SimpleCookie(header(scope, "cookie")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
