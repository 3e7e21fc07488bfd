"""Names of the entries of a batch, each spelled once. Shapes are per batch; a dataset item has no leading B.

:mod:`bundle.batches` says which of them each trainer wants.
"""

from typing import Final

IMAGE: Final = "image"
"""Prompted image (B,3,H,W) float32: channel 0 the normalised EM, 1 foreground clicks, 2 background clicks."""

LABEL: Final = "label"
"""Mitochondria mask (B,1,H,W), 0 background, 1 foreground."""

INSTANCES: Final = "instances"
"""Instance numbers (B,1,H,W), 0 background, 1, 2, ... one for each connected component."""

DENSITY: Final = "density"
"""Density map (B,1,H,W) in [0,1]: a Gaussian of peak 1 at the centre of each instance."""

STRONG: Final = "strong"
"""Strong view (B,1,H,W) of the EM in channel 0 of ``IMAGE``: same geometry, other photometry."""

COMPLETE: Final = "complete"
"""(B,) bool: every instance of the image has a foreground click, so what has none is background."""

INDEX: Final = "index"
"""(B,) long: number of the image in its data set."""

POINTS: Final = "points"
"""Clicks of a dataset item: a list of (x, y) in pixels."""

POINT_LABELS: Final = "point_labels"
"""1 (foreground) or 0 (background) for each of ``POINTS``."""

PIXEL_SIZE: Final = "pixel_size"
"""Of a dataset item: nanometres per pixel of its image's file."""

NATIVE_LABEL: Final = "native_label"
"""Of a dataset item whose image was resampled: the mask (B,1,X,Y) on the grid that the image had before."""

NATIVE_PIXEL_SIZE: Final = "native_pixel_size"
"""Nanometres per pixel of ``NATIVE_LABEL``."""

NATIVE_PRED: Final = "native_pred"
"""The predicted mask on the grid of ``NATIVE_LABEL``."""

MODE: Final = "mode"
"""How an item is segmented in an evaluation: ``automatic`` (no clicks) or ``interactive``."""

PRED: Final = "pred"
"""Network output (B,2,H,W): mask logits and density; after the post-transforms the binary mask."""

SOURCE: Final = "source"
TARGET: Final = "target"
"""The two halves of an adaptation batch, each a dictionary of the entries above."""

CANDIDATES: Final = "candidates"
"""Candidate masks (B,K,H,W) of 0 and 1, of which an annotator chooses the best for a region."""

REGIONS: Final = "regions"
"""(B,H,W) long: which judged region a pixel belongs to, in [0,R), or -1."""

CHOSEN: Final = "chosen"
"""(B,R) long: number of the chosen candidate of each region, -1 where it is not judged, ``NONE`` where none will do."""

NONE: Final = -2
"""In ``CHOSEN``: the judgement *none of these*."""

JUDGED: Final = "judged"
"""(B,1,H,W): 1 at pixels of judged regions where the candidates disagree."""

JUDGEMENTS: Final = "judgements"
"""Of a dataset item: (region_split, region_index, chosen, options) of each judged region, see
:mod:`bundle.preferences.questions.regions`; of the candidates in ``options`` one could be chosen."""

CANDIDATES_FILE: Final = "candidates_file"
"""Of a dataset item: path of its candidate masks."""
