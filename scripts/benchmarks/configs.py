"""The configurations that are measured."""

from pathlib import Path

from monai.bundle import ConfigParser

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ("configs/train.json", "configs/presets/cpu.json")


def read_config(*overlays: str) -> ConfigParser:
    """Return the configuration of the CPU preset with overlays."""
    config = ConfigParser()
    config.read_config([str(ROOT / name) for name in (*CONFIGS, *overlays)])
    return config
