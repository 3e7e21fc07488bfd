"""The folder of images and labels, out of which no path leads."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.datastore.local import ImageLabelModel, LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag

LABEL_SUFFIXES = (".xml",)
"""What a label may be besides an image: the outlines of QuPath."""
TAGS = tuple(tag.value for tag in (DefaultLabelTag.FINAL, DefaultLabelTag.ORIGINAL))

logger = logging.getLogger(__name__)


class Studies(LocalDatastore):
    """MONAI Label's datastore, which by itself makes paths of whatever it is told.

    Ids, tags and suffixes come from requests, from names of files and from ``datastore_v2.json`` in the folder. Here
    all of them are plain names, and a file counts only if it lies where its name says: a link that leads out of the
    folder is left out, at every look-up, and nothing is written over a link.
    """

    def get_image_uri(self, image_id: str) -> str:
        """Path of an image, empty where there is none."""
        return self._inside(super().get_image_uri(image_id), self._datastore.image_path())

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """Path of a label, empty where there is none."""
        return self._inside(super().get_label_uri(label_id, label_tag), self._datastore.label_path(label_tag))

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        """Paths of the images with a final label, and of that label."""
        pairs = [
            {"image": self.get_image_uri(image), "label": self.get_label_uri(image, DefaultLabelTag.FINAL)}
            for image in self.get_labeled_images()
        ]
        return [pair for pair in pairs if all(pair.values())]

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Refuse: images come into the studies as files, put there by a person.

        Raises:
            HTTPException: 403, always.
        """
        raise HTTPException(403, "images are not uploaded; put the file into the studies folder")

    def remove_image(self, image_id: str) -> None:
        """Refuse: images are the person's own files.

        Raises:
            HTTPException: 403, always.
        """
        raise HTTPException(403, "images are not deleted; remove the file from the studies folder")

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Copy a label into the studies.

        Raises:
            HTTPException: 404 for an unknown image, 400 for another tag than ``final`` and ``original``, for another
                suffix than those of images and outlines, or where a link is in the way.
        """
        if image_id not in self._datastore.objects:
            raise HTTPException(404, f"{image_id}: no such image in the studies")
        suffix = self._to_id(Path(label_filename).name)[1]
        if label_tag not in TAGS or not self._is_known(suffix):
            raise HTTPException(400, f"a label {suffix} of tag {label_tag} is not taken, expected {' or '.join(TAGS)}")
        tag = DefaultLabelTag(label_tag).value  # a path would be made of its member's name
        folder = Path(self._datastore.label_path(tag))
        if folder.resolve() != Path(self._datastore_path).resolve() / "labels" / tag:
            raise HTTPException(400, f"{folder}: is a link to elsewhere; put a folder in its place")
        path = folder / self._filename(image_id, suffix)
        if path.is_symlink():
            raise HTTPException(400, f"{path}: is a link; remove it before a label is saved there")
        return str(super().save_label(image_id, label_filename, label_tag, label_info))

    def _init_from_datastore_file(self, throw_exception: bool = False) -> None:
        """Read ``datastore_v2.json``, which also names folders."""
        super()._init_from_datastore_file(throw_exception)
        self._datastore.images_dir, self._datastore.labels_dir = ".", "labels"
        objects = self._datastore.objects
        for image in [image for image, entry in objects.items() if not self._is_plain(image, entry)]:
            logger.warning("%r in %s is no image of this folder, and left out", image, self._datastore_config_path)
            del objects[image]

    def _is_plain(self, image: str, entry: ImageLabelModel) -> bool:
        if not self._is_known(entry.image.ext) or not is_plain_name(image + entry.image.ext):
            return False
        for tag in list(entry.labels):
            if not is_plain_name(tag) or not self._is_known(entry.labels[tag].ext):
                del entry.labels[tag]
        return bool(self.get_image_uri(image))

    def _is_known(self, suffix: str) -> bool:
        return suffix.lower() in (*(pattern.removeprefix("*") for pattern in self._extensions), *LABEL_SUFFIXES)

    def _list_files(self, path: str, patterns: Iterable[str]) -> dict[str, str]:
        found: dict[str, str] = super()._list_files(path, patterns)
        return {name: file for name, file in found.items() if self._inside(Path(path) / file, path)}

    def _inside(self, path: str | Path, folder: str) -> str:
        """The path with links followed, if it lies in a folder of the studies; else nothing."""
        if not path:
            return ""
        file, home, root = Path(path).resolve(), Path(folder).resolve(), Path(self._datastore_path).resolve()
        return str(file) if file.parent == home and home.is_relative_to(root) else ""


def is_plain_name(name: str) -> bool:
    """Tell whether a text can only be a file in its own folder."""
    return name not in ("", ".", "..") and not set(name) & {"/", "\\", "\0"}
