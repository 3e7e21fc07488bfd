"""Limits on connections to the annotation server: time-outs, and which connections are closed when there are many."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from bundle.annotate.request_guard import HEADERS, LET_IN

WAIT_HEAD = 10.0
"""Seconds from the connection, or from the last answer, within which a whole request head must have come."""
WAIT_BODY = 30.0
"""Seconds from the head within which the body must have come."""
WAIT_READER = 60.0
"""Seconds within which a client must have read the part of an answer that waits for it."""
STRANGERS = 256
"""Connections that have not shown the token."""
STRANGERS_OF_ADDRESS = 128
"""The same for one address; people behind one forwarded port or router share an address."""
GUESTS = 256
"""Connections that have shown the token."""
GRACE = 1.0
"""Seconds for which a newcomer is not closed, unless there are four times as many as there are places."""
MALFORMED = "this is no request that the server understands"
WORKING = (h11.DONE, h11.MUST_CLOSE, h11.MIGHT_SWITCH_PROTOCOL)
"""States of a client whose request is complete: the server's turn."""


class PatientProtocol(H11Protocol):
    """HTTP protocol for uvicorn with time-outs and a limit on open connections, so that no client can block others.

    A connection is a stranger until :class:`bundle.annotate.request_guard.Gate` has let one of its requests in, then a
    guest. When there are too many strangers, at one address or in all, the oldest connection of the address with the
    most is closed. So a new client can always connect. Guests are counted separately and keep their connections.

    See :data:`SETTINGS`.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.since = time.monotonic()
        self._let_in = False
        self._stage: tuple[object, object] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    @property
    def is_guest(self) -> bool:
        """Whether a request of this connection was let in."""
        self._let_in = self._let_in or (self.scope is not None and LET_IN in self.scope["state"])
        return self._let_in

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Accept a new connection; close an old one if there are too many."""
        super().connection_made(transport)
        self._make_room()
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._let_in = self.is_guest  # before a pipelined request replaces this one
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        for timer in (self._deadline, self._unread):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        """The client reads its answer too slowly: start the clock."""
        super().pause_writing()
        self._unread = self.loop.call_later(WAIT_READER, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again: stop the clock."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def send_400_response(self, msg: str) -> None:
        """Answer that this is no HTTP, in one line, and close."""
        if self.cycle is not None:  # the head was valid, the body is not: the application's answer would come too late
            self.cycle.disconnected = True
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # an answer was started or sent
            self.transport.abort()
            return
        body = json.dumps({"detail": MALFORMED}).encode()
        headers = [*HEADERS.items(), ("content-type", "application/json"), ("content-length", str(len(body)))]
        answer = h11.Response(status_code=400, headers=[*headers, ("connection", "close")], reason=b"Bad Request")
        for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch(self) -> None:
        """Restart the clock when the connection waits for something else."""
        state = h11.CLOSED if self.transport.is_closing() else self.conn.their_state
        if self._stage == (state, self.cycle):
            return
        self._stage = (state, self.cycle)
        if self._deadline is not None:
            self._deadline.cancel()
        seconds = None if state in WORKING else WAIT_BODY if state is h11.SEND_BODY else WAIT_HEAD
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)

    def _make_room(self) -> None:
        open_ones = [one for one in self.connections if isinstance(one, PatientProtocol)]
        guests = [one for one in open_ones if one.is_guest]
        if len(guests) > GUESTS:
            _close_oldest([one for one in guests if one.conn.their_state is h11.IDLE] or guests, GUESTS)
        strangers = [one for one in open_ones if not one.is_guest]
        counts = Counter(one.address for one in strangers)
        if counts[self.address] > STRANGERS_OF_ADDRESS:
            _close_oldest([one for one in strangers if one.address == self.address], STRANGERS_OF_ADDRESS)
        elif len(strangers) > STRANGERS:
            busiest, _ = counts.most_common(1)[0]
            _close_oldest([one for one in strangers if one.address == busiest], STRANGERS)

    @property
    def address(self) -> str:
        """Where the client is."""
        return self.client[0] if self.client else ""


SETTINGS: dict[str, Any] = {
    "http": PatientProtocol,
    "ws": "none",  # a stranger that becomes a guest is no longer counted as a stranger
    "proxy_headers": False,  # else a client on the loopback could claim any address
    "server_header": False,
    "timeout_graceful_shutdown": 10,
}
"""Of ``uvicorn.Config``."""


def _close_oldest(connections: list[PatientProtocol], places: int) -> None:
    """Close the oldest, unless it is too young to have sent its request."""
    oldest = min(connections, key=lambda one: one.since)
    if time.monotonic() - oldest.since < GRACE and len(connections) < 4 * places:
        return
    oldest.connections.discard(oldest)  # not counted from now on, though it closes a moment later
    oldest.transport.abort()
