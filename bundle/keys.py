"""Names of the entries of a batch, each spelled once. Shapes are per batch; a dataset item has no leading B."""

IMAGE = "image"
"""Prompted image (B,3,H,W) float32: channel 0 the normalised EM, 1 foreground clicks, 2 background clicks."""

LABEL = "label"
"""Mitochondria mask (B,1,H,W), 0 background, 1 foreground."""

INSTANCES = "instances"
"""Instance numbers (B,1,H,W), 0 background, 1, 2, ... one for each connected component."""

DENSITY = "density"
"""Density map (B,1,H,W) in [0,1]: a Gaussian of peak 1 at the centre of each instance."""

STRONG = "strong"
"""Strong view (B,1,H,W) of the EM in channel 0 of ``IMAGE``: same geometry, other photometry."""

COMPLETE = "complete"
"""(B,) bool: every instance of the image has a foreground click, so what has none is background."""

INDEX = "index"
"""(B,) long: number of the image in its data set."""

POINTS = "points"
"""Clicks of a dataset item: a list of (x, y) in pixels."""

POINT_LABELS = "point_labels"
"""1 (foreground) or 0 (background) for each of ``POINTS``."""

MODE = "mode"
"""How an item is segmented in an evaluation: ``automatic`` (no clicks) or ``interactive``."""

PRED = "pred"
"""Network output (B,2,H,W): mask logits and density; after the post-transforms the binary mask."""

SOURCE = "source"
TARGET = "target"
"""The two halves of an adaptation batch, each a dictionary of the entries above."""

CANDIDATES = "candidates"
"""Candidate masks (B,K,H,W) of 0 and 1, of which an annotator chooses the best for a region."""

REGIONS = "regions"
"""(B,H,W) long: which judged region a pixel belongs to, in [0,R), or -1."""

CHOSEN = "chosen"
"""(B,R) long: number of the chosen candidate of each region, or -1 where none was chosen."""

JUDGED = "judged"
"""(B,1,H,W): 1 at pixels of judged regions where the candidates disagree."""

JUDGEMENTS = "judgements"
"""Of a dataset item: (regions, index, chosen) of each judged region (:mod:`bundle.preferences.questions.regions`)."""

CANDIDATES_FILE = "candidates_file"
"""Of a dataset item: path of its candidate masks."""
