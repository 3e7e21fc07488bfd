"""Archives with the layout of the published data sets, a few small sections each."""

import gzip
import io
import json
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import tifffile
from PIL import Image

WIDTH, HEIGHT = 60, 48


def section(number: int) -> tuple[np.ndarray, np.ndarray]:
    """An image (rows, columns) and its instances: two, of 8 x 10 and 12 x 12 pixels, that move with the number."""
    image = np.random.default_rng(number).integers(80, 200, (HEIGHT, WIDTH)).astype(np.uint8)
    instances = np.zeros((HEIGHT, WIDTH), np.uint16)
    instances[5:13, 4 + number % 8 : 14 + number % 8] = 1000 + number
    instances[30:42, 40:52] = 7
    return image, instances


def png(rows: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rows).save(file, "PNG")
    return file.getvalue()


def tif(rows: np.ndarray) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, rows)
    return file.getvalue()


def nifti(volume: np.ndarray) -> bytes:
    """Of (X,Y,Z)."""
    image = nibabel.Nifti1Image(volume, np.diag((8.0, 8.0, 30.0, 1.0)))
    return image.to_bytes()


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def mitoem_files() -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Images 0, 1, 400 and 500; masks of the first three, as the last is of the hidden test part."""
    images = {f"im/im{n:04d}.png": png(section(n)[0]) for n in (0, 1, 400, 500)}
    labels = {f"mito-train-v2/seg{n:04d}.tif": tif(section(n)[1]) for n in (0, 1)}
    return images, labels | {"mito-val-v2/seg0400.tif": tif(section(400)[1])}


def write_mitoem(folder: Path, letter: str = "H") -> list[Path]:
    images, labels = mitoem_files()
    return [
        write_zip(folder / f"EM30-{letter}-im.zip", images),
        write_zip(folder / f"EM30-{letter}-mito-train-val-v2.zip", {**labels, "__MACOSX/im/._im0000.png": b"x"}),
    ]


def write_lucchi(folder: Path) -> Path:
    """Masks as RGBA, white on black, with names that are numbers without zeros."""
    files = {}
    for part, numbers in (("Train", (0, 1, 10)), ("Test", (0, 2))):
        for n in numbers:
            image, instances = section(n + (50 if part == "Test" else 0))
            white = np.where(instances[..., None] > 0, 255, 0).astype(np.uint8)
            rgba = np.concatenate([np.repeat(white, 3, axis=2), np.full_like(white, 255)], axis=2)
            files[f"Lucchi++/{part}_In/mask{n:04d}.png"] = png(image)
            files[f"Lucchi++/{part}_Out/{n}.png"] = png(rgba)
    return write_zip(folder / "lucchi_pp.zip", files)


def stem_files(masks: str = "labels", listed: bool = True) -> dict[str, bytes]:
    """Two training volumes and a test volume of three sections; of classes, 2 is a boundary around each instance."""
    files: dict[str, bytes] = {}
    for number, (kind, name) in enumerate((("Tr", "train01"), ("Tr", "train02"), ("Ts", "test01"))):
        sections = [section(3 * number + z) for z in range(3)]
        volume = np.stack([image.T for image, _ in sections], axis=2)
        instances = np.stack([rows.T for _, rows in sections], axis=2)
        files[f"images{kind}/me2-stem_{name}_0000.nii.gz"] = gzip.compress(nifti(volume))
        classes = (instances > 0).astype(np.uint8)
        classes[:, 44:46] = 2
        content = instances if masks == "instances" else classes
        files[f"{masks}{kind}/me2-stem_{name}.nii.gz"] = gzip.compress(nifti(content))
    files["dataset.json"] = json.dumps({"labels": {"background": 0, "mito": 1, "boundary": 2}}).encode()
    if listed:
        split = {"train": ["me2-stem_train01"], "val": ["me2-stem_train02"], "test": ["me2-stem_test01"]}
        files["split.json"] = json.dumps([split]).encode()
    return {f"Dataset008_ME2-Stem/{name}": content for name, content in files.items()}
