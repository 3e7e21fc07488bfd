"""Bodies of the page's requests, with the ranges of their fields."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bundle.annotate.click_service import Which
from bundle.annotate.training_process import Method
from bundle.annotate.vote_service import NAME

Pixel = Annotated[int, Field(ge=0, lt=1 << 20, strict=True)]
Name = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
Uid = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Identity = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Clicks(BaseModel):
    """Clicks on an image: [x, y] in pixels, column first, with 1 for foreground and 0 for background each."""

    model_config = ConfigDict(extra="forbid")
    points: Annotated[list[tuple[Pixel, Pixel]], Field(max_length=4096)]
    labels: Annotated[list[Literal[0, 1]], Field(max_length=4096)]


class SavedClicks(Clicks):
    """Clicks that replace those of a version; the same ``uid`` sent again is stored once."""

    uid: Uid
    annotator: Name
    version: Annotated[int, Field(ge=0, lt=1 << 53, strict=True)]


class Prompt(Clicks):
    """Clicks, and the network that segments with them."""

    network: Which = "start"


class Start(BaseModel):
    """A training; the page chooses nothing but its method."""

    model_config = ConfigDict(extra="forbid")
    method: Method


class Nothing(BaseModel):
    """A request without a body."""

    model_config = ConfigDict(extra="forbid")


class Vote(BaseModel):
    """A judgement of a question; the same ``uid`` sent again is stored once."""

    model_config = ConfigDict(extra="forbid")
    uid: Uid
    annotator: Name
    question: Identity
    chosen: Annotated[int, Field(ge=0, lt=64, strict=True)] | Literal["none", "tie", "skip", "undo"]
    seconds: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]
