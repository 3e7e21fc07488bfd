"""A picture of the judged regions of an image and of its mask before and after training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from monai.data import Dataset
from torch import nn

from bundle import keys as K
from bundle.atomic import make_folder, replacing
from bundle.channels import em_of, logits_of
from bundle.handlers.evaluation_pictures import AGREED, FOREGROUND_CLICK, INVENTED, MISSED, gray, overlay
from bundle.inferers.prompted_sliding_window import PromptedSlidingWindowInferer
from bundle.preferences.candidates.files import CandidateSet, read_candidates
from bundle.preferences.questions.regions import region_box
from bundle.transforms.judgements import JudgedRegion, chosen_together, judgement_maps

PICTURE = "judgements.png"
WIDTH = 1600
"""Pixels."""
DPI = 100

# Okabe and Ito's palette without black, which is lost on an EM image, but with white.
OUTLINES = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#ffffff")


class JudgementPictures:
    """Draw ``judgements.png`` when preference learning has completed: the image with most judged regions.

    Its panels: the image with its judged regions, the outlines of the candidates, the chosen ones together (where no
    region was judged, the mask before), the mask before, which is candidate 0, and the mask after, which the policy
    makes without clicks. With a label, masks are coloured by true positives, false positives and false negatives.

    Args:
        folder: where the picture goes; made if it does not exist.
        dataset: the training set; its ``data`` are the items of :func:`bundle.preferences.judged_items.judged_items`.
        images: data set of whole images (3,X,Y), optionally with ``label`` (1,X,Y); paths are in its ``data``.
        policy: makes the mask after training, such as the network of :class:`SaveWeights`.
        inferer: sliding window.
        threshold: of the foreground probability, in (0,1).
    """

    ahead_of = ("TrackedRun",)

    def __init__(
        self,
        folder: str | os.PathLike[str],
        dataset: Dataset,
        images: Dataset,
        policy: nn.Module,
        inferer: PromptedSlidingWindowInferer,
        threshold: float = 0.5,
    ) -> None:
        self.path = Path(folder) / PICTURE
        self.dataset = dataset
        self.images = images
        self.policy = policy
        self.inferer = inferer
        self.threshold = threshold

    def attach(self, engine: Engine) -> None:
        """Register on a preference trainer."""
        engine.add_event_handler(Events.COMPLETED, self.draw)

    def draw(self, engine: Engine) -> None:
        """On COMPLETED: draw; of several processes only the first."""
        if idist.get_rank() != 0:
            return
        judged = max(self.dataset.data, key=lambda item: len(item[K.JUDGEMENTS]))
        paths = [str(item[K.IMAGE]) for item in self.images.data]
        item = self.images[paths.index(str(judged[K.IMAGE]))]
        image = em_of(torch.as_tensor(item[K.IMAGE])).float()
        truth = np.asarray(item[K.LABEL])[0] > 0 if K.LABEL in item else None
        made = read_candidates(judged[K.CANDIDATES_FILE])
        figure = judgement_figure(image[0].numpy(), made, judged[K.JUDGEMENTS], self.segment(image), truth)
        make_folder(self.path.parent)
        with replacing(self.path) as partial:
            figure.savefig(partial, format="png", dpi=DPI)
        engine.logger.info(f"drew {len(judged[K.JUDGEMENTS])} judged regions of {Path(made.image).name}: {self.path}")

    @torch.no_grad()
    def segment(self, image: torch.Tensor) -> np.ndarray:
        """Segment an image (1,X,Y) without clicks; returns (X,Y) bool."""
        device, mode = next(self.policy.parameters()).device, self.policy.training
        bare = torch.cat((image, torch.zeros_like(image), torch.zeros_like(image))).unsqueeze(0).to(device)
        self.policy.eval()
        pred = self.inferer(bare, self.policy)
        self.policy.train(mode)
        return (logits_of(pred)[0, 0].float().sigmoid() > self.threshold).cpu().numpy()


def judgement_figure(
    image: np.ndarray,
    made: CandidateSet,
    judgements: Sequence[JudgedRegion],
    after: np.ndarray,
    truth: np.ndarray | None,
) -> Figure:
    """Put the panels together.

    Args:
        image: (X,Y).
        made: the candidates.
        judgements: (region_split, region_index, chosen, options) of each judged region.
        after: (X,Y) bool, the mask after training.
        truth: (X,Y) bool, or None.

    Returns:
        The figure, `WIDTH` pixels wide at `DPI`.
    """
    numbers, chosen = judgement_maps(made.masks, judgements)
    best = chosen_together(made.masks, chosen)
    panels = [
        (f"regions judged: {len(judgements)}", gray(image)),
        (f"candidates: {len(made.masks)}", gray(image)),
        ("chosen candidates put together", overlay(image, best, truth)),
        ("mask before", overlay(image, made.masks[0], truth)),
        ("mask after", overlay(image, after, truth)),
    ]
    panel = WIDTH / DPI / 3
    tall = min(2.0, max(0.4, image.shape[1] / image.shape[0]))
    figure = Figure(figsize=(3 * panel, 2 * (panel * tall + 0.35)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3).ravel()
    for ax, (title, picture) in zip(axes, panels, strict=False):
        ax.imshow(picture, extent=(0, image.shape[0], image.shape[1], 0))
        ax.set_title(title, fontsize=14)
    for number in np.unique(numbers[numbers > 0]):
        _draw_box(axes[0], numbers == number)
    for mask, colour in zip(made.masks, _colours(len(made.masks)), strict=True):
        _draw_outline(axes[1], mask, colour)
    for ax in axes:
        ax.set_axis_off()
    axes[5].legend(handles=_legend(made.made, truth is not None), loc="center", fontsize=12, facecolor="#c0c0c0")
    return figure


def _draw_box(ax: Axes, region: np.ndarray) -> None:
    x0, y0, x1, y1 = region_box(region)
    box = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=_rgb(FOREGROUND_CLICK), linewidth=1.5)
    ax.add_patch(box)


def _draw_outline(ax: Axes, mask: np.ndarray, colour: str) -> None:
    if mask.any() and not mask.all():  # else there is no contour, about which matplotlib warns
        x, y = (np.arange(length) + 0.5 for length in mask.shape)
        ax.contour(x, y, mask.T.astype(float), levels=[0.5], colors=[colour], linewidths=1.2)


def _colours(count: int) -> list[str]:
    return [OUTLINES[number % len(OUTLINES)] for number in range(count)]


def _legend(made: list[str], known: bool) -> list[Any]:
    lines: list[Any] = [
        Line2D([], [], color=colour, linewidth=3, label=f"{number}: {how}")
        for number, (how, colour) in enumerate(zip(made, _colours(len(made)), strict=True))
    ]
    named = ((AGREED, "found"), (INVENTED, "made up"), (MISSED, "missed")) if known else ((AGREED, "mask"),)
    return lines + [Patch(color=_rgb(colour), label=label) for colour, label in named]


def _rgb(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    """A colour as matplotlib takes it."""
    red, green, blue = colour
    return red / 255, green / 255, blue / 255
