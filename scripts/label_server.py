"""Serve the network to 3D Slicer and QuPath, through MONAI Label.

python -m scripts.label_server --studies STUDIES
"""

from __future__ import annotations

import argparse
import logging
import re
import secrets
import sys
from pathlib import Path

import uvicorn
from monailabel.config import settings
from monailabel.interfaces.utils.app import app_instance
from monailabel.main import Main
from starlette.middleware.cors import CORSMiddleware

from bundle.annotate.connections import SETTINGS
from bundle.annotate.request_guard import App, Bodies, Gate
from bundle.data.pixel_size import check_nanometres
from bundle.errors import DataError, SettingError
from bundle.preflight import exit_status
from scripts.annotate import allow_connections, check_token, listen, names_of
from scripts.label_app.endpoints import LOGIN, create_app

ROOT = Path(__file__).resolve().parents[1]

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
BODIES = {
    "/auth/": Bodies((FORM,), 1 << 12),
    "/infer/wsi/": Bodies((JSON, "")),
    "/infer/": Bodies((MULTIPART, FORM), 1 << 20),
    "/datastore/label": Bodies((MULTIPART, ""), 1 << 28),
    "/": Bodies((JSON, "")),
}
"""QuPath names no content type for JSON, and requests without a body have none."""
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(prog="python -m scripts.label_server", description=(__doc__ or "").split("\n")[0])
    add = options.add_argument
    add("--studies", type=Path, required=True, help="folder of images")
    first = "models/adapted.pt, or models/model_synthetic.pt where that is not there"
    add("--checkpoint", type=Path, help=f"weights to start with (default: {first})")
    add("--config", type=Path, nargs="*", default=[], help="further overlays; the one beside the checkpoint is added")
    add(
        "--image-pixel-size",
        type=float,
        metavar="NM",
        help="nm per pixel of images that do not tell; they are resampled for the network, and the masks back",
    )
    add("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine alone)")
    add("--port", type=int, default=8000, help="0 for any that is free (default: 8000)")
    add("--token", help="the password that viewers send (default: a random one)")
    add("--origin", action="append", default=[], help="web page that may send requests, https://NAME; may be repeated")
    return options


def guarded(app: App, token: str, host: str, origins: list[str]) -> App:
    """Put the gate before MONAI Label's endpoints.

    Args:
        app: the endpoints.
        token: what requests must carry, except a login.
        host: address that is listened on. On the loopback its names are the only ones that the server answers to.
        origins: web pages that may send requests and read the answers.
    """
    gate = Gate(app, token=token, hosts=names_of(host), origins=origins, public=LOGIN, bodies=BODIES)
    if not origins:
        return gate
    methods, headers = ["GET", "HEAD", "POST", "PUT", "DELETE"], ["authorization", "content-type"]
    return CORSMiddleware(gate, allow_origins=origins, allow_methods=methods, allow_headers=headers)


def configure(options: argparse.Namespace, port: int) -> None:
    """Tell MONAI Label what it is to serve, here and in the processes that it starts.

    Raises:
        DataError: there is no such folder.
        SettingError: an origin, the path of an overlay or the pixel size cannot be used.
    """
    if not options.studies.is_dir():
        raise DataError(f"{options.studies}: no such folder of images")
    for origin in options.origin:
        if not ORIGIN.fullmatch(origin):
            raise SettingError(f"--origin is {origin}, expected https://NAME or https://NAME:PORT, without a path")
    overlays = [str(path.absolute()) for path in options.config]
    if any("," in path for path in overlays):
        raise SettingError(f"--config is {' '.join(overlays)}, expected paths without a comma")
    check_nanometres("image_pixel_size", options.image_pixel_size)
    settings.MONAI_LABEL_SESSIONS = False
    settings.MONAI_LABEL_TASKS_BATCH_INFER = False
    conf = [("config", ",".join(overlays))]
    conf += [] if options.checkpoint is None else [("checkpoint", str(options.checkpoint.absolute()))]
    conf += [] if options.image_pixel_size is None else [("image_pixel_size", str(options.image_pixel_size))]
    app, studies = str(ROOT / "scripts" / "label_app"), str(options.studies.resolve())
    Main().start_server_init_settings(argparse.Namespace(app=app, studies=studies, conf=conf, port=port, dryrun=False))


def main(arguments: list[str] | None = None) -> int:
    """Run the server until it is stopped; returns the exit status."""
    options = parser().parse_args(arguments)
    allow_connections()
    try:
        token = secrets.token_urlsafe(24) if options.token is None else check_token(options.token)
        listener = listen(options.host, options.port)
        port = listener.getsockname()[1]
        configure(options, port)
        instance = app_instance()
    except Exception as error:
        return exit_status(error)
    instance.server_mode(True)
    instance.on_init_complete()
    host = f"[{options.host}]" if ":" in options.host else options.host
    app = guarded(create_app(instance, token), token, options.host, options.origin)
    with listener:
        print(f"viewers: http://{host}:{port}, any user name, password {token} (stop with Ctrl-C)", flush=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", **SETTINGS))
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn has ended in good order and passes it on
            return 0
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s - %(message)s")
    sys.exit(main())
