"""Bytes that no HTTP library would send, to the real protocol: never a fault of the server, and one line each."""

import contextlib
import json
import logging
import socket

import pytest

from bundle.annotate.request_guard import Gate
from tests.annotate.real_server import TOKEN
from tests.annotate.test_connections import is_closed, serving

KNOWN = f"Authorization: token {TOKEN}\r\n".encode()
HOST = b"Host: 127.0.0.1\r\n"
JSON = b"Content-Type: application/json\r\n"
BODY = b'{"points": [], "labels": []}'
PUT = b"PUT /api/images/0/clicks HTTP/1.1\r\n" + HOST

MALFORMED = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "an old version": b"GET /\r\n\r\n",
    "a version that is none": b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
    "no path": b"GET  HTTP/1.1\r\n" + HOST + b"\r\n",
    "spaces in the path": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path of other letters": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "a zero byte in the path": b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a zero byte in a header": b"GET / HTTP/1.1\r\n" + HOST + b"X: \x00\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length : 5\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\n folded\r\n" + HOST + b"\r\n",
    "two lengths": PUT + JSON + KNOWN + b"Content-Length: 28\r\nContent-Length: 5\r\n\r\n" + BODY,
    "two lengths in one": PUT + JSON + KNOWN + b"Content-Length: 28, 5\r\n\r\n" + BODY,
    "a negative length": PUT + JSON + KNOWN + b"Content-Length: -1\r\n\r\n",
    "a length with a plus": PUT + JSON + KNOWN + b"Content-Length: +28\r\n\r\n" + BODY,
    "an endless length": PUT + JSON + KNOWN + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "a length in other digits": PUT + JSON + KNOWN + b"Content-Length: \xb2\r\n\r\n",
    "an unknown coding": PUT + JSON + KNOWN + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
    "two codings": PUT + JSON + KNOWN + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
    "length and chunks": PUT
    + JSON
    + KNOWN
    + b"Content-Length: 28\r\nTransfer-Encoding: chunked\r\n\r\n1c\r\n"
    + BODY
    + b"\r\n0\r\n\r\n",
    "chunks that are none": PUT + JSON + KNOWN + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "chunks that are none, without the token": PUT + JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a chunk without its end, without the token": PUT
    + JSON
    + b"Transfer-Encoding: chunked\r\n\r\n1d\r\n"
    + BODY
    + b"\r\n0\r\n\r\n",
    "a chunk too long": PUT + JSON + KNOWN + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 400 + b"\r\n",
    "a long head": b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + HOST + b"X: x\r\n" * 20_000 + b"\r\n",
    "a long path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a long method": b"G" * 100_000 + b" / HTTP/1.1\r\n" + HOST + b"\r\n",
}
ODD = {
    "a path outside": b"GET /../../etc/passwd HTTP/1.1\r\n" + HOST + KNOWN + b"\r\n",
    "a path outside, encoded": b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n" + HOST + KNOWN + b"\r\n",
    "an encoded zero byte": b"GET /page%00.css HTTP/1.1\r\n" + HOST + KNOWN + b"\r\n",
    "a whole address": b"GET http://evil.example/api/images HTTP/1.1\r\n" + HOST + KNOWN + b"\r\n",
    "the token for another path": f"GET //evil.example/?token={TOKEN} HTTP/1.1\r\n".replace(
        " of the tests: +&%/ü", ""
    ).encode()
    + HOST
    + b"\r\n",
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + KNOWN + b"\r\n",
    "a trace": b"TRACE / HTTP/1.1\r\n" + HOST + KNOWN + b"\r\n",
    "options": b"OPTIONS * HTTP/1.1\r\n" + HOST + KNOWN + b"\r\n",
    "a method that is none": b"XYZZY / HTTP/1.1\r\n" + HOST + KNOWN + b"\r\n",
    "an upgrade without the token": b"GET /api/images HTTP/1.1\r\n"
    + HOST
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "version 1.0 without a host": b"GET /api/images HTTP/1.0\r\n" + KNOWN + b"\r\n",
    "an address of its own": b"GET /api/images HTTP/1.1\r\n" + HOST + b"X-Forwarded-For: 1.2.3.4\r\n\r\n",
}


@pytest.fixture
def port(app):
    with serving(Gate(app, token=TOKEN)) as port:
        yield port


def talk(port, data, quiet=0.5):
    """What the server answers to bytes until it hangs up, or has been quiet for some seconds."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as one:
        answer = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError, TimeoutError):
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                one.sendall(data)
            while chunk := one.recv(65536):
                answer += chunk
                one.settimeout(quiet)
        return answer


def refused(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert 400 <= status < 500, answer
    found, _ = json.JSONDecoder().raw_decode(body.decode())  # the answer to what follows may come behind
    assert found["detail"].isprintable()
    assert b"content-security-policy" in head and b"nosniff" in head
    return status


@pytest.fixture
def silent(caplog):
    """Nothing may be an error of the server."""
    with caplog.at_level(logging.ERROR):
        yield
    found = caplog.get_records("call")  # those of the test: its own records are others when a fixture ends
    assert not found, [record.getMessage() for record in found]


@pytest.mark.parametrize("data", [*MALFORMED.values(), *ODD.values()], ids=[*MALFORMED, *ODD])
def test_one_line_and_no_more(port, silent, domain, data):
    answer = talk(port, data)
    assert refused(answer[answer.index(b"HTTP/1.1") :])
    assert not (domain / "points.json").exists()
    good = talk(port, b"GET /api/images HTTP/1.1\r\n" + HOST + KNOWN + b"Connection: close\r\n\r\n")
    assert good.startswith(b"HTTP/1.1 200")


def test_a_second_request_in_a_body_is_not_answered(port, silent):
    inner = b"GET /api/agreement HTTP/1.1\r\n" + HOST + KNOWN + b"\r\n"
    outer = PUT + JSON + KNOWN + b"Content-Length: %d\r\n\r\n" % len(inner)
    assert talk(port, outer + inner).count(b"HTTP/1.1 ") == 1


def test_requests_one_behind_the_other(port, silent):
    one = b"GET /api/agreement HTTP/1.1\r\n" + HOST + KNOWN + b"\r\n"
    last = one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert talk(port, one * 50 + last).count(b"HTTP/1.1 200") == 51


def test_chunks_that_break_off_after_the_answer(port, silent):
    """The answer, 401, is there before the body; what follows is no HTTP."""
    head = PUT + b"Transfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as one:
        one.sendall(head)
        answer = b""
        while not answer.endswith(b"}"):
            answer += one.recv(65536)
        assert refused(answer) == 401
        one.sendall(b"no chunk\r\n" * 10)
        assert is_closed(one, 2)


def test_an_address_cannot_be_claimed(app):
    """Else a stranger on the loopback had as many addresses, and rates, as they like."""
    with serving(Gate(app, token=TOKEN, rate=0.01, burst=3)) as port:
        found = [
            talk(port, f"GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 9.9.9.{i}\r\n\r\n".encode())
            for i in range(4)
        ]
    assert [refused(answer) for answer in found] == [401, 401, 401, 429]
