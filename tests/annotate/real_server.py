"""``python -m scripts.annotate`` as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx

from tests.integration.commands import ROOT

TOKEN = "a token of the tests: +&%/ü"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """The server on the loopback; it can be killed and started again."""

    def __init__(self, *arguments):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [sys.executable, "-m", "scripts.annotate", *map(str, arguments), "--port", str(self.port)]
        self.command += ["--token", TOKEN]
        self.headers = {"authorization": f"token {TOKEN}".encode()}
        self.start()

    def start(self):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(self.command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(600):
            try:
                httpx.get(f"{self.url}/api/images", headers=self.headers, timeout=5).raise_for_status()
            except httpx.HTTPError:
                assert self.process.poll() is None, "the server ended"
                time.sleep(0.2)
            else:
                self.said = self.process.stdout.readline()
                return
        raise AssertionError("the server did not start")

    def client(self, **options):
        """A client that has the token."""
        return httpx.Client(base_url=self.url, headers=self.headers, **options)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
