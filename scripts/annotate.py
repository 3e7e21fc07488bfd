"""Open the page where a person clicks points, picks the best candidates and trains on them.

python -m scripts.annotate --data data/target
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import logging
import os
import resource
import secrets
import socket
import sys
from pathlib import Path
from urllib.parse import quote

import torch
import uvicorn
from monai.bundle import ConfigParser

from bundle import keys as K
from bundle.annotate.click_service import ClickService
from bundle.annotate.connections import SETTINGS
from bundle.annotate.request_guard import LOOPBACK, Gate
from bundle.annotate.server import create_app
from bundle.annotate.training_process import Training
from bundle.annotate.vote_service import VoteService
from bundle.atomic import make_folder
from bundle.channels import em_of
from bundle.config_text import config_text
from bundle.data import domain_pixel_size
from bundle.data.domain_folder import read_datalist
from bundle.errors import DataError, SettingError
from bundle.handlers.model_overlay import overlays_of
from bundle.handlers.shipped_weights import first_weights
from bundle.handlers.weights import load_weights
from bundle.preferences.store.judgement_store import JudgementStore
from bundle.preflight import exit_status

ROOT = Path(__file__).resolve().parents[1]

PATIENCE = 5.0
"""Seconds for which a request waits while another program holds the store."""
SHORTEST_TOKEN = 8
OPEN_FILES = 4096


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(prog="python -m scripts.annotate", description=(__doc__ or "").split("\n")[0])
    add = options.add_argument
    add("--data", type=Path, required=True, help="domain folder")
    add("--split", default="training", help="of the domain (default: training)")
    first = "models/adapted.pt, or models/model_synthetic.pt where that is not there"
    add("--checkpoint", type=Path, default=first_weights(), help=f"weights to start with (default: {first})")
    add("--config", type=Path, nargs="*", default=[], help="further overlays; the one beside the checkpoint is added")
    add("--points", default="points.json", help="points file in the domain folder (default: points.json)")
    work = ROOT / "runs" / "prefer"
    add("--store", type=Path, default=work / "preferences.sqlite", help="default: runs/prefer/preferences.sqlite")
    add("--candidates", type=Path, default=work / "candidates", help="default: runs/prefer/candidates")
    add(
        "--trained",
        type=Path,
        default=ROOT / "models" / "preferred.pt",
        help="weights that a training here writes (default: models/preferred.pt); its log goes beside the store",
    )
    add("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine alone)")
    add("--port", type=int, default=8000, help="0 for any that is free (default: 8000)")
    add("--token", help="who opens the page must have it, 8 characters or more (default: a random one)")
    return options


def open_click_service(options: argparse.Namespace, store: JudgementStore) -> ClickService:
    """Network, inferer and preprocessing as ``configs/inference.json`` says, on the images of the domain folder."""
    read_datalist(options.data)
    if not options.checkpoint.is_file():
        raise DataError(f"{options.checkpoint}: no such checkpoint; train one first, or name another")
    config = ConfigParser()
    config.read_config([str(ROOT / "configs" / "inference.json"), *map(str, overlays(options))])
    config["bundle_root"] = config_text(ROOT)
    given = config.get_parsed_content("pixel_size")
    config["pixel_size"] = domain_pixel_size([options.data.absolute()], given, required=False)
    config["to_network_pixels"] = []  # a domain folder is at the network's pixel size
    network = config.get_parsed_content("network_def").to(config.get_parsed_content("device"))
    settings = config.get_parsed_content("model_settings")
    load_weights(network, options.checkpoint, settings)
    preprocessing = config.get_parsed_content("preprocessing")

    def load(path: str) -> torch.Tensor:
        item = preprocessing({K.IMAGE: path, K.POINTS: [], K.POINT_LABELS: []})
        return torch.as_tensor(em_of(item[K.IMAGE])).to(next(network.parameters()))

    return ClickService(
        options.data,
        options.split,
        options.points,
        store,
        load,
        network.eval(),
        config.get_parsed_content("inferer"),
        config.get_parsed_content("threshold"),
        settings=settings,
    )


def overlays(options: argparse.Namespace) -> list[Path]:
    """What goes behind a configuration: the given files, and what the network needs, which lies beside its weights."""
    return [path.absolute() for path in (*options.config, *overlays_of(options.checkpoint))]


def training_of(options: argparse.Namespace, click_service: ClickService, store: JudgementStore) -> Training:
    """Stage 2 with the settings that this program was started with."""
    settings: dict[str, object] = {
        "dataset_dir": options.data.absolute(),
        "init_checkpoint": options.checkpoint.absolute(),
        "checkpoint": options.trained.absolute(),
        "work_dir": options.store.parent.absolute(),
        "store": options.store.absolute(),
        "candidates_dir": options.candidates.absolute(),
    }
    return Training(ROOT, overlays(options), settings, click_service.points, store, click_service.offer)


def check_token(token: str) -> str:
    """Refuse a token that is soon guessed, or that no address can carry.

    Raises:
        SettingError: it is too short, or holds what cannot be printed.
    """
    if len(token) < SHORTEST_TOKEN or not token.isprintable():
        raise SettingError(
            f"--token {token!r}: expected {SHORTEST_TOKEN} or more characters that can be printed; leave it out for a "
            "random one"
        )
    return token


def names_of(host: str) -> tuple[str, ...] | None:
    """The names under which the server answers: on the loopback its own, so that no other can be pointed at it."""
    name = f"[{host}]" if ":" in host else host
    with contextlib.suppress(ValueError):
        return tuple(dict.fromkeys((*LOOPBACK, name))) if ipaddress.ip_address(host).is_loopback else None
    return LOOPBACK if name in LOOPBACK else None


def allow_connections() -> None:
    """Let this process have as many open files as connections may need; some systems begin with 256."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def listen(host: str, port: int) -> socket.socket:
    """Take the port before anything is loaded, so that one in use is known at once.

    Raises:
        SettingError: it cannot be had; the message says why.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OverflowError as error:
        raise SettingError(f"{host}:{port} cannot be listened on ({error})") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise SettingError(f"{host}:{port} cannot be listened on ({reason}); name another --port or --host") from None


def main(arguments: list[str] | None = None) -> int:
    """Run the server until it is stopped; returns the exit status."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s - %(message)s")
    allow_connections()
    try:
        token = secrets.token_urlsafe(24) if options.token is None else check_token(options.token)
        listener = listen(options.host, options.port)
        make_folder(options.store.parent)
        store = JudgementStore(options.store, wait=PATIENCE)
        click_service = open_click_service(options, store)
    except Exception as error:
        return exit_status(error)
    with store, listener:
        # as load_domain spells them, whose paths the questions bear
        numbers = {str(options.data.absolute() / name): number for number, name in enumerate(click_service.names)}
        vote_service = VoteService(store, numbers, options.candidates)
        training = training_of(options, click_service, store)
        app = Gate(create_app(click_service, vote_service, training), token, names_of(options.host))
        host = f"[{options.host}]" if ":" in options.host else options.host
        address = f"http://{host}:{listener.getsockname()[1]}/?token={quote(token, safe='')}"
        print(f"open {address} (stop with Ctrl-C)", flush=True)
        try:
            uvicorn.Server(uvicorn.Config(app, log_level="error", **SETTINGS)).run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn has ended in good order and passes it on
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
