"""Open the page where a person clicks points and picks the best candidates.

python scripts/annotate.py --data data/target --checkpoint models/adapted.pt
"""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import uvicorn  # noqa: E402
from monai.bundle import ConfigParser  # noqa: E402

from bundle import keys as K  # noqa: E402
from bundle.annotate.ballot import Ballot  # noqa: E402
from bundle.annotate.clicker import Clicker  # noqa: E402
from bundle.annotate.gate import LOOPBACK, Gate  # noqa: E402
from bundle.annotate.server import create_app  # noqa: E402
from bundle.handlers.weights import load_matching, read_state  # noqa: E402
from bundle.preferences.store import JudgementStore  # noqa: E402


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add = options.add_argument
    add("--data", type=Path, required=True, help="domain folder")
    add("--split", default="training", help="of the domain (default: training)")
    add("--checkpoint", type=Path, default=ROOT / "models" / "adapted.pt", help="default: models/adapted.pt")
    add("--config", type=Path, nargs="*", default=[], help="overlays on configs/inference.json, as in training")
    add("--points", default="points.json", help="points file in the domain folder (default: points.json)")
    work = ROOT / "runs" / "prefer"
    add("--store", type=Path, default=work / "preferences.sqlite", help="default: runs/prefer/preferences.sqlite")
    add("--candidates", type=Path, default=work / "candidates", help="default: runs/prefer/candidates")
    add("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine alone)")
    add("--port", type=int, default=8000, help="default: 8000")
    add("--token", help="who opens the page must have it (default: none on the loopback, else a random one)")
    return options


def open_clicker(options: argparse.Namespace) -> Clicker:
    """Network, inferer and preprocessing as ``configs/inference.json`` says, on the images of the domain folder."""
    config = ConfigParser()
    config.read_config([str(ROOT / "configs" / "inference.json"), *map(str, options.config)])
    config["bundle_root"] = str(ROOT)
    network = config.get_parsed_content("network_def").to(config.get_parsed_content("device"))
    load_matching(network, read_state(options.checkpoint), str(options.checkpoint))
    preprocessing = config.get_parsed_content("preprocessing")

    def load(path: str) -> torch.Tensor:
        item = preprocessing({K.IMAGE: path, K.POINTS: [], K.POINT_LABELS: []})
        return torch.as_tensor(item[K.IMAGE][:1]).to(next(network.parameters()))

    return Clicker(
        options.data,
        options.split,
        options.points,
        load,
        network.eval(),
        config.get_parsed_content("inferer"),
        config.get_parsed_content("threshold"),
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the server until it is stopped; returns the exit status."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s - %(message)s")
    local = options.host in (*LOOPBACK, "::1")
    token = options.token or (None if local else secrets.token_urlsafe(24))
    try:
        clicker = open_clicker(options)
        options.store.parent.mkdir(parents=True, exist_ok=True)
        store = JudgementStore(options.store)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with store:
        # as load_domain spells them, whose paths the questions bear
        numbers = {str(options.data.absolute() / name): number for number, name in enumerate(clicker.names)}
        app = Gate(create_app(clicker, Ballot(store, numbers, options.candidates)), token=token)
        query = f"/?token={token}" if token else "/"
        print(f"open http://{options.host}:{options.port}{query} (stop with Ctrl-C)", flush=True)
        uvicorn.run(app, host=options.host, port=options.port, log_level="warning", limit_concurrency=64)
    return 0


if __name__ == "__main__":
    sys.exit(main())
