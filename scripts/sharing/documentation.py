"""The page of words that a package carries."""

from __future__ import annotations

from scripts.sharing.standalone_model import StandaloneModel

PAPERS = {
    "Prefer-DAS: learning from local preferences and sparse prompts": "10.48550/arXiv.2602.19423",
    "Prompt-DAS (MICCAI 2025), its first stage": "10.48550/arXiv.2509.18973",
}
"""What to cite, with the DOI."""

INPUTS = {
    False: "- `image` (batch, 1, y, x): a gray image of any type and size from 64 x 64 pixels on.\n",
    True: (
        "- `image` (batch, 1, y, x): a gray image of any type and size from 64 x 64 pixels on.\n"
        "- `clicks` (batch, 2, y, x), may be left out: foreground clicks and background clicks, each one pixel of "
        "value 1, all others 0; at most {max_points} in a window.\n"
    ),
}
OUTPUTS = {
    False: "- `mask` (batch, 1, y, x): 1 in mitochondria, 0 elsewhere.\n",
    True: (
        "- `mask` (batch, 1, y, x): 1 in mitochondria, 0 elsewhere.\n"
        "- `density` (batch, 1, y, x): a peak of up to 1 at the centre of each mitochondrion.\n"
    ),
}


def describe(interactive: bool) -> str:
    """One sentence of what a package does, in at most 1024 characters."""
    prompted = " It takes foreground and background clicks as a second input, if there are any." if interactive else ""
    return f"Segments mitochondria in 2D electron microscopy.{prompted}"


def write_documentation(model: StandaloneModel, interactive: bool, licence: str | None) -> str:
    """Write the page.

    Args:
        model: of the package.
        interactive: with clicks and density.
        licence: of the weights, an SPDX identifier; None for not stated.

    Returns:
        Markdown, with the section on validation that BioImage.IO asks for.
    """
    width, height = model.window
    low, high = model.percentiles
    size = f"{model.pixel_size:g} nm; resample images of other pixel sizes" if model.pixel_size else "not stated"
    papers = "".join(f"- {title}: https://doi.org/{doi}\n" for title, doi in PAPERS.items())
    return f"""# Mitochondria in electron microscopy

{describe(interactive)} The weights are TorchScript and need no other code. The method is Prefer-DAS; this is an
implementation of it by others than its authors.

Pixel size: {size}. Licence of the weights: {licence or "not stated; ask who gave you this file"}.

## Inputs and outputs

{INPUTS[interactive].format(max_points=model.segmenter.max_points)}{OUTPUTS[interactive]}
The image is scaled so that its percentiles {low:g} and {high:g} become 0 and 1, and clipped there: `preprocessing` in
`rdf.yaml`. The weights bring it to mean 0 and variance 1, and slide over it in overlapping windows of
{width} x {height} pixels (x, y). A program that feeds tiles instead of whole images normalises each tile by itself: let
tiles be {2 * max(width, height)} pixels wide or more, so that each holds mitochondria and other tissue.

A pixel belongs to the mask where its probability is above {model.threshold:g}: `binarize` under `postprocessing` in
`rdf.yaml`. In connected components of {model.segmenter.min_size} pixels or fewer the weights give the probability 0.

## Limits

2D images. Tissue, staining and pixel size other than those of the training give worse masks. Research only, not for
diagnosis.

## Validation

Draw the mitochondria in some images that the model has not seen, at the pixel size above, and compare: Dice or
intersection over union of the masks, and the number of mitochondria found, missed and made up. Look at the masks drawn
on the images before you measure anything on them.

## Cite

{papers}"""
