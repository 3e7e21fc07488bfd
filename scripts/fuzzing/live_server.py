"""Raw bytes to a real annotation server over sockets, which must still answer afterwards."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import torch

from scripts.fuzzing.child import peak_memory
from scripts.fuzzing.mutations import mutate
from scripts.fuzzing.target import BrokenPromise, Target
from scripts.fuzzing.tiny_network import NETWORK, tiny_network
from scripts.fuzzing.tiny_page import make_questions, write_domain

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-token-of-the-fuzzer"
FILE = "request.bin"
ANSWERED = re.compile(rb"HTTP/1\.[01] (\d{3})")
QUIET = 0.1
"""Seconds without a byte after which no more is expected."""
PATIENCE = 8.0
"""Seconds in which the server must answer a sound request."""
LARGEST = 2048.0
"""MiB that it may take."""
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG

HEAD = f"Host: 127.0.0.1\r\nAuthorization: token {TOKEN}\r\n"
CLICKS = json.dumps({"points": [[10, 12]], "labels": [1]})
JSON_HEAD = f"{HEAD}Content-Type: application/json\r\n"
SEEDS = tuple(
    text.encode()
    for text in (
        f"GET / HTTP/1.1\r\n{HEAD}\r\n",
        f"GET /api/images HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n",
        f"GET /api/images/0/picture HTTP/1.0\r\n{HEAD}\r\n",
        f"HEAD /page.js?token={TOKEN} HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-5\r\n\r\n",
        f"POST /api/images/0/mask HTTP/1.1\r\n{JSON_HEAD}Content-Length: {len(CLICKS)}\r\n\r\n{CLICKS}",
        f"PUT /api/images/1/clicks HTTP/1.1\r\n{JSON_HEAD}Transfer-Encoding: chunked\r\n\r\n"
        f"{len(CLICKS):x}\r\n{CLICKS}\r\n0\r\n\r\n",
        f"POST /api/training/stop HTTP/1.1\r\n{JSON_HEAD}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{{}}",
        f"GET /api/agreement HTTP/1.1\r\n{HEAD}\r\nGET /api/progress/ada HTTP/1.1\r\n{HEAD}\r\n",
        f"GET /api/images HTTP/1.1\r\n{HEAD}Connection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    )
)
TOKENS = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b"\x00",
        b"\xff",
        b": ",
        b"%00",
        b"../",
        b"//",
        b"http://[::1",
        b"*",
    ),
    *(
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Content-Length: 0\r\n",
        b"0\r\n\r\n",
    ),
    *(
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Content-Length: 5\r\n",
        b"ffffffffffffffff",
    ),
    *(
        b"HTTP/9.9",
        b"HTTP/1.1",
        b"HTTP/0.9",
        b"CONNECT",
        b"TRACE",
        b"X" * 70_000,
        b"A: " + b"x" * 70_000,
        b"Host: evil\r\n",
    ),
    *(b"Origin: http://[::1\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"a: b\r\n" * 300, b";" * 100),
)


class LiveServer(Target):
    """``python -m scripts.annotate`` on a small domain."""

    group = "requests"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        domain = write_domain(folder / "domain")
        make_questions(domain, folder / "candidates")
        torch.save(tiny_network().state_dict(), folder / "start.pt")
        settings = {**NETWORK, "max_points": 6, "crop_size": [32, 32]}
        (folder / "tiny.json").write_text(json.dumps(settings))
        command = [sys.executable, "-m", "scripts.annotate", "--data", domain, "--token", TOKEN]
        command += ["--checkpoint", folder / "start.pt", "--config", folder / "tiny.json", "--port", 0]
        command += ["--store", folder / "preferences.sqlite", "--candidates", folder / "candidates"]
        self.log = folder / "server.log"
        with self.log.open("wb") as log:
            self.server = subprocess.Popen(
                list(map(str, command)),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
            )
        self.held.callback(self.server.wait)
        self.held.callback(self.server.kill)
        self.port = self.wait_for_port()
        self.read = self.log.stat().st_size
        self.sent = 0

    def wait_for_port(self) -> int:
        """The port that the server says it listens on.

        Raises:
            RuntimeError: it ended before.
        """
        while True:
            said = self.log.read_text(errors="replace")
            if found := re.search(r"open http://\S*?:(\d+)", said):
                return int(found[1])
            if self.server.poll() is not None:
                raise RuntimeError(f"the server did not start:\n{said}")
            time.sleep(0.1)

    def mutate(self, random: Random) -> dict[str, bytes]:
        """Damage a request."""
        return {FILE: mutate(random.choice(SEEDS), random, TOKENS, SEEDS)}

    def attack(self, given: Path) -> str | None:
        """Send the bytes; now and then, and at the first, a sound request must be answered."""
        answer = self.send((given / FILE).read_bytes(), QUIET)
        states = [int(state) for state in ANSWERED.findall(answer)]
        if self.sent % 20 == 0:
            sound = self.send(SEEDS[1], PATIENCE)
            if not sound.startswith(b"HTTP/1.1 200"):
                raise BrokenPromise(f"a sound request is answered by {sound[:200]!r}\n{self.said()}")
        self.sent += 1
        said = self.said()
        if self.server.poll() is not None:
            raise BrokenPromise(f"the server ended with status {self.server.returncode}\n{said}")
        if "Traceback" in said or any(state >= 500 for state in states):
            raise BrokenPromise(f"answered by {states}\n{said}")
        if (peak := peak_memory(self.server.pid)) > LARGEST:
            raise BrokenPromise(f"the server took {peak:.0f} MiB")
        refused = [state for state in states if state >= 400]
        return f"status {refused[0]}" if refused else None if states else "no answer"

    def said(self) -> str:
        """What the server has logged since this was last asked."""
        with self.log.open("rb") as log:
            log.seek(self.read)
            new = log.read()
        self.read += len(new)
        return new.decode(errors="replace")[-8000:]

    def send(self, data: bytes, patience: float) -> bytes:
        """Send bytes from one of many addresses; returns what came back until it was quiet for so many seconds."""
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionError), socket.socket() as connection:
            connection.settimeout(PATIENCE)
            connection.bind((f"127.0.0.{2 + self.sent % 250}", 0))  # each has an allowance of its own
            connection.connect(("127.0.0.1", self.port))
            connection.settimeout(patience)
            connection.sendall(data)
            while block := connection.recv(1 << 16):
                answer += block
        return answer


def die_with_parent() -> None:
    """In a new process: ask for its end when the one that started it ends, however it does."""
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    os.setsid()
