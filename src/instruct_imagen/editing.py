"""Edits of a picture that touch only what they should: where models look, and what is put back.

The models see and draw a small square; a picture has a size and a shape of its own. A `Frame` is
the square of it that they see. What they drew is laid over the picture with a weight for each
pixel, and where the weight is 0 every byte is the source's ([Hu24] §6 has no such edits, and its
super-resolution changes all pixels: Figure 7).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image

from instruct_imagen.images import WHITE, ImageError, ImageSource, load_image

SEAM = 1 / 64
"""Width of the seam inside a mask, as a share of the frame's side."""

MOST_SEAM = 0.5
"""Of a seam."""

THRESHOLD = 0.16
"""Smallest difference that counts as a change, as a share of the range of a channel: of those tried
the largest that takes next to nothing from right answers (docs/editing.md)."""

UPSCALER_STEPS = 8
"""Sampling steps of an upscaler, unless others are asked for."""

_SURROUNDINGS = 2.0  # side of the frame around a mask, in sides of what the mask shows
_SEEN = 32  # cells a side on which pictures are compared: what is finer is the drawing's softness
_SPECK = 3  # cells, joined: fewer are no change
_HALF = 128  # from this brightness on, a pixel of a mask is white


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A square of a picture, in its pixels; parts of it may lie outside the picture."""

    left: int
    top: int
    side: int

    def within(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of its part in a picture of (width, height)."""
        width, height = size
        right, bottom = self.left + self.side, self.top + self.side
        return max(self.left, 0), max(self.top, 0), min(right, width), min(bottom, height)


def whole_frame(width: int, height: int) -> Frame:
    """The smallest square around a picture, centred on it."""
    side = max(width, height)
    return Frame(left=(width - side) // 2, top=(height - side) // 2, side=side)


def frame_around(inside: np.ndarray, least: int) -> Frame:
    """The square in which a mask is edited: what it shows, and as much around it.

    Args:
        inside: (H, W) bool, True somewhere.
        least: Smallest side; the size that the models draw, as less would be enlarged for them.

    Returns:
        A square inside the picture if the mask fits into one; else one that sticks out over the
        shorter sides alone. Never larger than `whole_frame`.
    """
    height, width = inside.shape
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    longest, shortest = max(bottom - top, right - left), min(width, height)
    side = min(max(round(_SURROUNDINGS * longest), least), max(width, height))
    if max(longest, least) <= shortest:
        side = min(side, shortest)
    return Frame(
        left=_placed_around(left, right, side, width),
        top=_placed_around(top, bottom, side, height),
        side=side,
    )


def _placed_around(low: int, high: int, side: int, length: int) -> int:
    """Where an interval of `side` begins whose middle is that of `low` to `high`, if it fits."""
    if side >= length:
        return (length - side) // 2
    return min(max((low + high - side) // 2, 0), length - side)


def cut_out(
    image: Image.Image, frame: Frame, background: tuple[int, int, int], most: int
) -> Image.Image:
    """What a frame shows of an RGB image, `background` where it sticks out.

    Args:
        image: The picture.
        frame: Of it.
        background: RGB.
        most: Longest side of what comes back, in pixels: larger frames are made smaller.

    Returns:
        RGB, a square of the frame's side or of `most`.
    """
    side = min(frame.side, most)
    box = frame.within(image.size)
    scale = side / frame.side
    left, top, right, bottom = (
        round((place - start) * scale)
        for place, start in zip(box, 2 * (frame.left, frame.top), strict=True)
    )
    size = (max(right - left, 1), max(bottom - top, 1))
    part = image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3)
    if size == (side, side):
        return part
    canvas = Image.new("RGB", (side, side), background)
    canvas.paste(part, (left, top))
    return canvas


def read_mask(mask: ImageSource, size: tuple[int, int]) -> np.ndarray:
    """What may change: white; what has to stay: black. Grey counts as the nearer of both.

    Args:
        mask: Whatever `load_image` takes.
        size: (width, height) of the picture.

    Returns:
        (H, W) bool.

    Raises:
        ImageError: It cannot be read, has another size than the picture, is transparent anywhere,
            or coloured.

    Warns:
        UserWarning: It is black everywhere.
    """
    image = load_image(mask, keep_alpha=True)
    if image.size != size:
        raise ImageError(
            f"the mask has {image.width} × {image.height} pixels and the picture {size[0]} × "
            f"{size[1]}: make them the same size"
        )
    pixels = np.asarray(image)
    if pixels[..., 3].min() < 255:
        raise ImageError(
            "the mask is transparent in places: draw white what may change and black what has to "
            "stay, without transparency"
        )
    if np.ptp(pixels[..., :3], axis=2).max() > _HALF // 2:
        raise ImageError(
            "the mask has colours: draw white what may change and black what has to stay"
        )
    inside = pixels[..., :3].sum(axis=2, dtype=np.uint16) >= 3 * _HALF
    if not inside.any():
        warnings.warn(
            "the mask has no white, so nothing changes: its brightest value is "
            f"{pixels[..., :3].max()} of 255, and what may change has to be above {_HALF - 1}",
            stacklevel=2,
        )
    return inside


def seam_weights(inside: np.ndarray, seam: float) -> np.ndarray:
    """Weights that rise from the mask's border inwards: (H, W) bool -> (H, W) float32 in [0, 1].

    Args:
        inside: What may change. Outside, weights are exactly 0. The picture's own edge is no
            border.
        seam: Over so many pixels they rise to 1, or a quarter of a region's depth where it is
            thin, so that a wire is not left half as it was; 0 for a hard border.
    """
    from scipy import ndimage  # the command's help need not wait for it

    if inside.all() or not inside.any():
        return inside.astype(np.float32)
    depth = ndimage.distance_transform_edt(inside).astype(np.float32)
    regions, count = ndimage.label(inside, structure=np.ones((3, 3)))
    deepest = np.zeros(count + 1, np.float32)
    deepest[1:] = ndimage.maximum(depth, regions, np.arange(1, count + 1))
    seams = np.minimum(np.minimum(seam, deepest / 4), np.maximum(deepest - 1, 0))
    return np.minimum(1, depth / (seams[regions] + 1))


def changed(before: Image.Image, after: Image.Image, threshold: float) -> np.ndarray:
    """Where two pictures differ in more than how sharp they are.

    They are compared at 32 × 32 cells. An edge that moved by a part of a cell is no change, nor
    are few cells alone; so neither is a line of one cell's width. What a change encloses belongs
    to it.

    Args:
        before: RGB, a square.
        after: RGB, a square.
        threshold: Smallest difference of a cell's colour, as a share of a channel's range; 0 has
            everything changed.

    Returns:
        (32, 32) bool, with a margin of one cell around each change.
    """
    from scipy import ndimage

    if threshold <= 0:
        return np.ones((_SEEN, _SEEN), bool)
    cells = [
        np.asarray(one.resize((_SEEN, _SEEN), Image.Resampling.BOX), np.float32)
        for one in (before, after)
    ]
    difference = ndimage.median_filter(np.abs(cells[1] - cells[0]).max(axis=2) / 255, size=3)
    around = np.ones((3, 3), bool)
    found = ndimage.binary_closing(np.pad(difference > threshold, 1, "edge"), around)
    found = ndimage.binary_fill_holes(found[1:-1, 1:-1])
    labels, count = ndimage.label(found, structure=around)
    if count:
        found &= np.bincount(labels.ravel())[labels] >= _SPECK
    return ndimage.binary_dilation(found, around)


@dataclass(frozen=True, kw_only=True, eq=False)
class Edit:
    """A picture to be edited, and what of it.

    Attributes:
        picture: RGB or RGBA, as `load_image` gives it.
        frame: The square that models see of it.
        inside: (H, W) bool, what may change; None where no mask says so.
    """

    picture: Image.Image
    frame: Frame
    inside: np.ndarray | None

    def shown(self, most: int) -> Image.Image:
        """What models see of the picture: RGB, at most `most` pixels a side."""
        return cut_out(_flat(self.picture), self.frame, WHITE, most)

    def shown_mask(self, most: int) -> Image.Image:
        """What models see of the mask: RGB, at most `most` pixels a side."""
        assert self.inside is not None
        mask = Image.fromarray(self.inside).convert("RGB")
        return cut_out(mask, self.frame, (0, 0, 0), most)

    @property
    def silent(self) -> bool:
        """Whether nothing may change."""
        return self.inside is not None and not self.inside.any()


def read_edit(source: ImageSource, mask: ImageSource | None, least: int) -> Edit:
    """The edit of a picture of the user's own.

    Args:
        source: The picture; its transparency and colour profile are kept.
        mask: White where it may change; None for anywhere.
        least: See `frame_around`.

    Raises:
        ImageError: Either cannot be used.
    """
    picture = load_image(source, keep_alpha=True, keep_profile=True)
    if np.asarray(picture.getchannel("A")).min() == 255:
        profile = picture.info
        picture = picture.convert("RGB")
        picture.info = profile
    inside = None if mask is None else read_mask(mask, picture.size)
    frame = whole_frame(*picture.size)
    if inside is not None and inside.any():
        frame = frame_around(inside, least)
    return Edit(picture=picture, frame=frame, inside=inside)


def finished(
    edit: Edit,
    drawn: Image.Image,
    *,
    compared: tuple[Image.Image, Image.Image] | None = None,
    threshold: float = THRESHOLD,
    seam: float = SEAM,
) -> Image.Image:
    """The picture with what was drawn in the places that may change.

    Args:
        edit: The picture, and what of it may change.
        drawn: RGB, a square: the frame, drawn anew.
        compared: Without a mask, two drawings of the frame whose difference is the change: one
            with nothing changed, and one as asked. None compares `drawn` with the picture.
        threshold: Without a mask, what differs by less is restored; see `changed`.
        seam: Share of the frame's side over which old and new mix, inside of what changes.

    Returns:
        An image of the picture's size and mode, with its colour profile. All pixels that do not
        change are equal to the picture's, and where nothing changes it is the picture itself.
    """
    frame, size = edit.frame, edit.picture.size
    box = frame.within(size)
    left, top, right, bottom = box
    share = drawn.width / frame.side
    seen = tuple(
        (place - start) * share
        for place, start in zip(box, 2 * (frame.left, frame.top), strict=True)
    )
    part = (right - left, bottom - top)
    if edit.inside is None:
        cells = changed(*(compared or (edit.shown(drawn.width), drawn)), threshold)
        scaled = tuple(place * _SEEN / drawn.width for place in seen)
        grown = Image.fromarray((cells * 255).astype(np.uint8))
        # Between the cells, outlines are smooth.
        inside = np.zeros(size[::-1], bool)
        smooth = grown.resize(part, Image.Resampling.BILINEAR, box=scaled)
        inside[top:bottom, left:right] = np.asarray(smooth) >= _HALF
    else:
        inside = edit.inside
    if not inside[top:bottom, left:right].any():
        return edit.picture.copy()
    # One pixel more, so that the frame's edge is known to be a border or none.
    wide = slice(max(top - 1, 0), bottom + 1), slice(max(left - 1, 0), right + 1)
    weights = seam_weights(inside[wide], seam * frame.side)
    weights = weights[top - wide[0].start :, left - wide[1].start :][: part[1], : part[0], None]
    new = np.asarray(drawn.resize(part, Image.Resampling.BICUBIC, box=seen), np.float32)
    after = np.array(edit.picture)
    old = after[top:bottom, left:right]
    old[:] = np.where(weights > 0, _over(old, new, weights), old)
    result = Image.fromarray(after)
    result.info = dict(edit.picture.info)
    return result


def _over(old: np.ndarray, new: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Opaque colours (h, w, 3) over a picture (h, w, 3 or 4), by weights (h, w, 1): uint8."""
    colours, kept = old[..., :3].astype(np.float32), 1 - weights
    if old.shape[2] == 3:
        return np.rint(kept * colours + weights * new).astype(np.uint8)
    # Each colour counts by how opaque it is.
    kept = kept * (old[..., 3:] / np.float32(255))
    whole = np.maximum(kept + weights, 1e-6)
    mixed = np.concatenate([(kept * colours + weights * new) / whole, 255 * whole], axis=2)
    return np.rint(mixed).clip(0, 255).astype(np.uint8)


def _flat(picture: Image.Image) -> Image.Image:
    """RGB, white showing through."""
    if picture.mode == "RGB":
        return picture
    return load_image(picture, max_pixels=picture.width * picture.height)
