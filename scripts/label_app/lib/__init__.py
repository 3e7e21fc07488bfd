"""Parts of the MONAI Label app.

MONAI Label imports this package from the app's folder, from wherever it was started, so the package ``bundle`` is made
known here, before any part imports it.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))
