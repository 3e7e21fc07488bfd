"""Data sets of the papers' tasks, as their owners publish them: which file is which section of which split.

Where each name and number comes from is in ``docs/tasks.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from bundle.data.archives import Member, read_text
from bundle.data.domain_folder import SPLITS
from bundle.errors import DataError
from bundle.json_files import parse_json

_JSON_BYTES = 1 << 20
_Key = TypeVar("_Key", int, str)


class FoundFile(NamedTuple):
    """A section, or a volume, and its mask.

    Attributes:
        split: of a datalist.
        name: the section's or volume's own.
        image: the image file.
        label: its mask, of the same size.
    """

    split: str
    name: str
    image: Member
    label: Member


class Found(NamedTuple):
    """What the archives of a data set hold.

    Attributes:
        files: sections or volumes with their masks.
        background: values of the masks that are background.
    """

    files: list[FoundFile]
    background: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class PublishedDataset:
    """A data set.

    Attributes:
        title: its own name.
        archives: names of the archives that are needed, as published.
        pixel_size: nanometres per pixel of a section.
        section_size: (width, height) of a section in pixels.
        sections: number of sections in each split, where it is known; those of volumes are not counted here.
        find: tells which of the files is what.
    """

    title: str
    archives: tuple[str, ...]
    pixel_size: float
    section_size: tuple[int, int]
    sections: Mapping[str, int]
    find: Callable[[Sequence[Member]], Found]


class _Numbered(NamedTuple):
    """A split whose files are numbered: the patterns of their paths, with the number as the first group."""

    split: str
    image: str
    label: str


def _numbered(*parts: _Numbered) -> Callable[[Sequence[Member]], Found]:
    """Pair sections by number. Images without a mask belong to no split: MitoEM's test sections are such."""

    def find(members: Sequence[Member]) -> Found:
        files = []
        for part in parts:
            images, labels = _by_number(members, part.image), _by_number(members, part.label)
            missing = min(labels.keys() - images.keys(), default=None)
            if labels and missing is not None:
                raise DataError(
                    f"{labels[missing]}: no image has this number; expected one like {_example(part.image)}"
                )
            files += [FoundFile(part.split, f"{n:04d}", images[n], labels[n]) for n in sorted(labels)]
        lacking = [part for part in parts if part.split not in {file.split for file in files}]
        if lacking:
            raise DataError(
                f"no masks of the split {lacking[0].split!r} in what was given; expected files like "
                f"{_example(lacking[0].label)}"
            )
        return Found(files)

    return find


def _by_number(members: Sequence[Member], pattern: str) -> dict[int, Member]:
    return _unique(members, pattern, int, "number")


def _unique(members: Sequence[Member], pattern: str, key: Callable[[str], _Key], what: str) -> dict[_Key, Member]:
    """The members whose path ends as the pattern says, by what its first group stands for; each may come once."""
    found: dict[_Key, Member] = {}
    for member in members:
        match = re.search(rf"(?:^|/){pattern}$", member.name)
        if match:
            other = found.setdefault(key(match[1]), member)
            if other is not member:
                raise DataError(f"{member}: has the {what} of {other}; name the archives or folders of one data set")
    return found


def _example(pattern: str) -> str:
    return pattern.replace(r"(\d+)", "0000").replace("\\", "")


def _nnunet(folder: str) -> Callable[[Sequence[Member]], Found]:
    """Find the volumes of a data set in the layout of nnU-Net.

    ``split.json`` or ``splits.json`` says which volumes are for training, validation and test. Masks are instances
    where there are any, else classes, of which ``dataset.json`` may call one a boundary: it lies around mitochondria.
    """

    def find(members: Sequence[Member]) -> Found:
        inside = [
            member for member in members if f"/{folder}/" in f"/{member.place.as_posix()}/{member.name}"
        ] or members
        images = {kind: _volumes(inside, f"images{kind}", "_0000") for kind in ("Tr", "Ts")}
        instances = {kind: _volumes(inside, f"instances{kind}", "") for kind in ("Tr", "Ts")}
        classes = {kind: _volumes(inside, f"labels{kind}", "") for kind in ("Tr", "Ts")}
        chosen = instances if all(images[k].keys() <= instances[k].keys() for k in images) else classes
        split_of = _splits(inside) or dict.fromkeys(images["Tr"], "training") | dict.fromkeys(images["Ts"], "test")
        files = []
        for name, split in split_of.items():
            kind = "Ts" if split == "test" else "Tr"
            if name not in images[kind]:
                raise DataError(f"{folder}: no images{kind}/{name}_0000.nii.gz in what was given, which its split has")
            if name not in chosen[kind]:
                raise DataError(
                    f"{images[kind][name]}: no mask; expected instances{kind} or labels{kind}/{name}.nii.gz"
                )
            files.append(FoundFile(split, name, images[kind][name], chosen[kind][name]))
        if not files:
            raise DataError(f"no volumes in what was given; expected {folder}/imagesTr/NAME_0000.nii.gz")
        return Found(files, (0,) if chosen is instances else _background(inside))

    return find


def _volumes(members: Sequence[Member], folder: str, end: str) -> dict[str, Member]:
    return _unique(members, rf"{folder}/([\w.-]+){end}\.nii\.gz", str, "name")


def _json(members: Sequence[Member], *names: str) -> tuple[Member, Any] | None:
    for member in members:
        if member.name.rpartition("/")[2] in names:
            try:
                return member, parse_json(read_text(member, _JSON_BYTES))
            except DataError:
                raise
            except ValueError as error:
                raise DataError(f"{member}: cannot be read as JSON ({error})") from None
    return None


def _splits(members: Sequence[Member]) -> dict[str, str]:
    """The split of each volume; the file is an object, or a list of one."""
    found = _json(members, "split.json", "splits.json")
    if found is None:
        return {}
    member, content = found
    content = content[0] if isinstance(content, list) and content else content
    lists = [content.get(name, []) if isinstance(content, dict) else None for name in ("train", "val", "test")]
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists):
        raise DataError(f"{member}: expected the lists train, val and test with the names of volumes")
    named = [(name, split) for split, names in zip(SPLITS, lists, strict=True) for name in names or ()]
    if len(dict(named)) != len(named):
        raise DataError(f"{member}: a volume stands there twice; expected each in one of train, val and test")
    return dict(named)


def _background(members: Sequence[Member]) -> tuple[int, ...]:
    """0, and the values of classes that ``dataset.json`` calls boundary or contour."""
    found = _json(members, "dataset.json")
    labels = found[1].get("labels") if found and isinstance(found[1], dict) else None
    around = [v for n, v in labels.items() if re.search("bound|contour", n, re.I)] if isinstance(labels, dict) else []
    return (0, *(value for value in around if isinstance(value, int) and value > 0))


def _mitoem(letter: str, title: str) -> PublishedDataset:
    image = r"im/im(\d+)\.png"
    return PublishedDataset(
        title=title,
        archives=(f"EM30-{letter}-im.zip", f"EM30-{letter}-mito-train-val-v2.zip"),
        pixel_size=8.0,
        section_size=(4096, 4096),
        sections={"training": 400, "test": 100},
        find=_numbered(
            _Numbered("training", image, r"mito-train-v2/seg(\d+)\.tiff?"),
            _Numbered("test", image, r"mito-val-v2/seg(\d+)\.tiff?"),
        ),
    )


PUBLISHED: Mapping[str, PublishedDataset] = {
    "mitoem-h": _mitoem("H", "MitoEM-H, human cortex"),
    "mitoem-r": _mitoem("R", "MitoEM-R, rat cortex"),
    "lucchi-pp": PublishedDataset(
        title="Lucchi++, mouse hippocampus",
        archives=("lucchi_pp.zip",),
        pixel_size=5.0,
        section_size=(1024, 768),
        sections={"training": 165, "test": 165},
        find=_numbered(
            _Numbered("training", r"Train_In/mask(\d+)\.png", r"Train_Out/(\d+)\.png"),
            _Numbered("test", r"Test_In/mask(\d+)\.png", r"Test_Out/(\d+)\.png"),
        ),
    ),
    "mitoem2-stem": PublishedDataset(
        title="MitoEM 2.0 Stem, stem cells",
        archives=("Dataset008_ME2-Stem.zip",),
        pixel_size=8.0,
        section_size=(1000, 1000),
        sections={},
        find=_nnunet("Dataset008_ME2-Stem"),
    ),
}
"""The data sets of the papers' four tasks, by the name of their domain folder."""
TASKS_PIXEL_SIZE = 8.0
"""Nanometres that source and target of these tasks work at: those of MitoEM, which is the source of all of them."""
