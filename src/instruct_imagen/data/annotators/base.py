"""What the annotators have in common: one interface, PIL in and PIL out, in batches."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch

NO_RESULT = ("model", "device", "batch_size")
"""Settings that are not in a fingerprint: of a model, its weights are."""


class AnnotatorError(ValueError):
    """An annotation that cannot be made; one line that names the cause and the cure."""


class Annotator(Protocol):
    """Draws one kind of annotation.

    Its class is a frozen, keyword-only dataclass whose fields are the settings, and is the
    `ANNOTATOR` of the module of its name. Models are loaded when they are first needed.

    Attributes:
        name: Of the annotator, and of its module.
        batch_size: Images that are worked on at once.
        fingerprint: Of all that an annotation depends on besides the image: the annotator, its
            settings, its weights. (The last bits of a network's sums also depend on the machine;
            they can change a pixel by one.)
    """

    name: str
    batch_size: int

    @property
    def fingerprint(self) -> str:
        """See above."""

    def __call__(self, images: Sequence[Image.Image]) -> list[Image.Image]:
        """Annotates images.

        Args:
            images: Mode RGB, as `images.load_image` gives them, of any sizes.

        Returns:
            One for each, in order: mode L (one channel, 8 bits), of the image's own size. Edges
            are white on black, what is near is bright, objects are white; a sketch is dark on
            white.

        Raises:
            AnnotatorError: An image is of another mode, or the annotator's model or package is
                missing or gives no annotation.
        """


def fingerprint(annotator: Annotator, *, version: int, weights: str = "") -> str:
    """JSON of the name, the settings that matter and the weights.

    Args:
        annotator: A dataclass.
        version: Of its way to draw; raised when the same settings would draw something else.
        weights: Hash of its weights, empty if it has none.
    """
    settings = {
        field.name: getattr(annotator, field.name)
        for field in dataclasses.fields(annotator)  # type: ignore[arg-type]
        if field.name not in NO_RESULT
    }
    found = {
        "annotator": annotator.name,
        "version": version,
        "settings": settings,
        "weights": weights,
    }
    return json.dumps(found, sort_keys=True)


def check_images(images: Sequence[Image.Image]) -> None:
    """Raises an `AnnotatorError` unless these are RGB images in a list."""
    if isinstance(images, Image.Image):
        raise AnnotatorError("annotators take a list of images: put a single one into a list")
    for image in images:
        mode = getattr(image, "mode", type(image).__name__)
        if mode != "RGB":
            raise AnnotatorError(f"annotators take RGB images, not {mode}: use images.load_image")


def in_batches(
    images: Sequence[Image.Image],
    batch_size: int,
    draw: Callable[[list[Image.Image]], list[Image.Image]],
) -> list[Image.Image]:
    """What `draw` makes of all images; each batch has images of one size.

    Args:
        images: RGB, of any sizes.
        batch_size: The most images of a batch.
        draw: One annotation for each image of a batch.

    Returns:
        One for each, in the order of the images.
    """
    check_images(images)
    drawn: list[Image.Image | None] = [None] * len(images)
    for rows in _batches_of_one_size(images, batch_size):
        made = draw([images[row] for row in rows])
        for row, annotation in zip(rows, made, strict=True):
            drawn[row] = annotation
    return drawn  # type: ignore[return-value]


def _batches_of_one_size(images: Sequence[Image.Image], batch_size: int) -> Iterator[list[int]]:
    by_size: dict[tuple[int, int], list[int]] = {}
    for row, image in enumerate(images):
        by_size.setdefault(image.size, []).append(row)
    for rows in by_size.values():
        for start in range(0, len(rows), batch_size):
            yield rows[start : start + batch_size]


def to_grey(shares: np.ndarray) -> Image.Image:
    """(H, W) floats in [0, 1] -> mode L, rounded to the nearest of 0 to 255.

    Raises:
        AnnotatorError: They hold NaN: a model that broke must not look like a black picture.
    """
    if not np.isfinite(shares).all():
        raise AnnotatorError("the model's output holds NaN: its weights are broken, use others")
    return Image.fromarray(np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8))


def stack(images: Sequence[Image.Image]) -> np.ndarray:
    """Images of one size -> (N, H, W, 3) uint8."""
    return np.stack([np.asarray(image) for image in images])


def need(module: str, *, why: str, install: str) -> ModuleType:
    """An optional package's module.

    Args:
        module: To import.
        why: What it is needed for.
        install: The arguments of ``pip install``.

    Raises:
        AnnotatorError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise AnnotatorError(
            f"{why} needs the package {module.partition('.')[0]} ({error}): "
            f"run `pip install {install}`"
        ) from error


EXTRA = "'instruct-imagen[annotators]'"
"""Arguments of ``pip install`` that bring the optional packages."""


def torch_device(name: str) -> torch.device:
    """A device that computes.

    Raises:
        AnnotatorError: There is none of that name here.
    """
    import torch

    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        cause = str(error).strip().partition("\n")[0]
        raise AnnotatorError(f"device={name} cannot be used ({cause}): try device=cpu") from error
    return device


def check_positive(annotator: Any, *names: str) -> None:
    """Raises an `AnnotatorError` unless these settings are above 0 (and finite)."""
    for name in names:
        value = getattr(annotator, name)
        if not 0 < value < float("inf"):
            raise AnnotatorError(f"{annotator.name}: {name}={value} must be more than 0")


def file_hash(path: Any) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
