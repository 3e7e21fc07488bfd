"""What :mod:`scripts.benchmark` measures with."""
