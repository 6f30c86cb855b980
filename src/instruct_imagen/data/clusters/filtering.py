"""Step 2: leaves out what is of no use to learn from; each row by its first reason, counted.

Two decisions, the cheap one first: `by_words` looks at rows alone, `by_pixels` decodes. Repeats go
between them (`steps.repeats`). As equal bytes have equal pixels, nothing is lost by dropping them
before pixels are looked at; by words must come first, so that a repeat with a good caption stays
where the first one's is bad.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from instruct_imagen.data.clusters.caption_rules import CaptionRules, caption_fault
from instruct_imagen.data.clusters.picture_quality import VIEW, Quality
from instruct_imagen.data.clusters.reading import Loader
from instruct_imagen.data.clusters.rows import ClusterError, Row, Tally, tally
from instruct_imagen.data.corpora.base import EntryError
from instruct_imagen.images import MAX_PIXELS, ImageError, TooManyPixels, load_image


@dataclass(frozen=True, kw_only=True)
class FilterSettings:
    """What is kept.

    Attributes:
        min_side: Pixels of the shorter side; the paper's network draws at 128.
        max_aspect: Longer side over the shorter one.
        max_pixels: Of an image that is decoded; at most what `images.load_image` decodes at all.
        blank: Largest share of the pixels that are nearly of one colour.
        blank_near: What counts as nearly: levels of 255 from the median, in each channel.
        min_quality: Least score of the quality measure; of a network, look at its scores first.
        captions: Rules of captions.
        most_images: Images that may share a caption, whatever they show; 0 for any number. ALIGN
            takes 10 (Jia et al. 2021, §3); where one thing is there in eleven sets of drawings, 12
            leaves all of them.
        alike: From where on the pictures of more than those are of one kind, and are kept: 0 is as
            alike as any two of the corpus, 1 is equal (see `shared_captions`).

    Raises:
        ClusterError: A number is out of range.
    """

    min_side: int = 128
    max_aspect: float = 3.0
    max_pixels: int = MAX_PIXELS
    blank: float = 0.98
    blank_near: int = 8
    min_quality: float = 0.4
    captions: CaptionRules = field(default_factory=CaptionRules)
    most_images: int = 12
    alike: float = 0.5

    def __post_init__(self) -> None:
        limits = {
            "min_side": (1, 10**6),
            "max_aspect": (1, 10**6),
            "max_pixels": (1, MAX_PIXELS),
            "blank": (0, 1),
            "blank_near": (0, 255),
            "min_quality": (0, 1),
            "most_images": (0, 2**63),
            "alike": (-1, 1),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ClusterError(
                    f"filter: {name}={getattr(self, name)} must be from {low} to {high}"
                )


@dataclass(frozen=True, kw_only=True)
class Filtered:
    """What a filter makes of a part.

    Attributes:
        rows: Those that are kept, in their order.
        left_out: Keys of the others, each with the reason.
        tally: The others, counted.
    """

    rows: tuple[Row, ...]
    left_out: tuple[tuple[str, str], ...]
    tally: Tally


def by_words(rows: Sequence[Row], settings: FilterSettings) -> Filtered:
    """Decides by what rows say: size, aspect, caption."""
    return _decided((row, _fault(row, settings)) for row in rows)


def by_pixels(
    rows: Sequence[Row], load: Loader, settings: FilterSettings, quality: Quality
) -> Filtered:
    """Decodes each image and decides by what is seen: broken, blank, of low quality.

    One image at its full size is in memory at a time, and a batch of small views.
    """
    faults: list[tuple[Row, EntryError | None]] = []
    waiting: list[tuple[int, Image.Image]] = []

    def score() -> None:
        if not waiting:
            return
        scores = quality([view for _, view in waiting])
        for (index, _), value in zip(waiting, scores, strict=True):
            if not value >= settings.min_quality:  # NaN is no quality
                row = faults[index][0]
                problem = EntryError(f"{row.key}: quality {value:.2f}", "low quality")
                faults[index] = (row, problem)
        waiting.clear()

    for row, data in zip(rows, load(rows), strict=True):
        view = data if isinstance(data, EntryError) else _view(row, data, settings)
        if isinstance(view, EntryError):
            faults.append((row, view))
            continue
        faults.append((row, None))
        waiting.append((len(faults) - 1, view))
        if len(waiting) == quality.batch_size:
            score()
    score()
    return Filtered(
        rows=tuple(row for row, fault in faults if fault is None),
        left_out=tuple((row.key, fault.reason) for row, fault in faults if fault is not None),
        tally=tally(fault for _, fault in faults if fault is not None),
    )


def blankness(view: Image.Image, near: int) -> float:
    """The share of an RGB picture's pixels within `near` of its median colour, in [0, 1]."""
    pixels = np.asarray(view).reshape(-1, 3).astype(np.int16)
    middle = np.median(pixels, axis=0)
    return float((np.abs(pixels - middle) <= near).all(axis=1).mean())


def _view(row: Row, data: bytes, settings: FilterSettings) -> Image.Image | EntryError:
    """A picture at `VIEW` pixels, or why it is left out."""
    try:
        with io.BytesIO(data) as file:
            file.name = row.key  # type: ignore[attr-defined]  # what the decoder's errors name
            image = load_image(file, max_pixels=settings.max_pixels)
    except TooManyPixels as error:
        return EntryError(str(error), "too many pixels")
    except ImageError as error:
        return EntryError(str(error), "broken image")
    image.thumbnail((VIEW, VIEW), Image.Resampling.BOX)
    share = blankness(image, settings.blank_near)
    if share > settings.blank:
        return EntryError(f"{row.key}: {share:.1%} of it is of one colour", "blank")
    return image


def _fault(row: Row, settings: FilterSettings) -> str:
    short, long = sorted((row.width, row.height))
    if short < settings.min_side:
        return "too small"
    if long > settings.max_aspect * short:
        return "too long or wide"
    return caption_fault(row.caption, settings.captions)


def _decided(pairs: Iterable[tuple[Row, str]]) -> Filtered:
    kept: list[Row] = []
    problems: list[tuple[str, EntryError]] = []
    for row, reason in pairs:
        if reason:
            detail = f"{row.width} × {row.height}, {row.caption[:60]!r}"
            problems.append((row.key, EntryError(f"{row.key}: {reason} ({detail})", reason)))
        else:
            kept.append(row)
    return Filtered(
        rows=tuple(kept),
        left_out=tuple((key, problem.reason) for key, problem in problems),
        tally=tally(problem for _, problem in problems),
    )
