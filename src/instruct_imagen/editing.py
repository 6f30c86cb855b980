"""Edits of a picture that touch only what they should: where models look, and what is put back.

The models see and draw a small square; a picture has a size and a shape of its own. A `Frame` is
the square of it that they see. What they drew is laid over the picture with a weight for each
pixel, and where the weight is 0 every byte is the source's ([Hu24] §6 has no such edits, and its
super-resolution changes all pixels: Figure 7).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from instruct_imagen.images import WHITE, ImageError, ImageSource, load_image

SEAM = 1 / 64
"""Width of the seam inside a mask, as a share of the frame's side."""

THRESHOLD = 0.12
"""Smallest difference that counts as a change, as a share of the range of a channel."""

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

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom."""
        return self.left, self.top, self.left + self.side, self.top + self.side


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
        A square inside the picture, or `whole_frame` where that would be no larger.
    """
    height, width = inside.shape
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side = max(round(_SURROUNDINGS * max(bottom - top, right - left)), least)
    if side > min(width, height):
        return whole_frame(width, height)
    middle_x, middle_y = (left + right - side) // 2, (top + bottom - side) // 2
    return Frame(
        left=int(np.clip(middle_x, 0, width - side)),
        top=int(np.clip(middle_y, 0, height - side)),
        side=int(side),
    )


def cut_out(image: Image.Image, frame: Frame, background: tuple[int, int, int]) -> Image.Image:
    """What a frame shows of an RGB image, `background` where it sticks out."""
    canvas = Image.new("RGB", (frame.side, frame.side), background)
    canvas.paste(image, (-frame.left, -frame.top))
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
    """
    image = load_image(mask, keep_alpha=True)
    if image.size != size:
        raise ImageError(
            f"the mask has {image.width} × {image.height} pixels and the picture {size[0]} × "
            f"{size[1]}: make them the same size"
        )
    pixels = np.asarray(image)
    if (pixels[..., 3] < 255).any():
        raise ImageError(
            "the mask is transparent in places: draw white what may change and black what has to "
            "stay, without transparency"
        )
    spread = pixels[..., :3].max(axis=2).astype(int) - pixels[..., :3].min(axis=2)
    if (spread > _HALF // 2).any():
        raise ImageError(
            "the mask has colours: draw white what may change and black what has to stay"
        )
    return pixels[..., :3].mean(axis=2) >= _HALF


def seam_weights(inside: np.ndarray, seam: float) -> np.ndarray:
    """Weights that rise from the mask's border inwards: (H, W) bool -> (H, W) float32 in [0, 1].

    Args:
        inside: What may change. Outside, weights are exactly 0. The picture's own edge is no
            border.
        seam: Over so many pixels they rise to 1; 0 for a hard border.
    """
    from scipy import ndimage  # the command's help need not wait for it

    if inside.all() or not inside.any():
        return inside.astype(np.float32)
    depth = ndimage.distance_transform_edt(inside)
    return np.minimum(1, depth / (seam + 1)).astype(np.float32)


def changed(before: np.ndarray, after: np.ndarray, threshold: float) -> np.ndarray:
    """Where two pictures differ in more than how sharp they are.

    They are compared at 32 × 32 cells; a few cells alone are no change, and what a change encloses
    belongs to it.

    Args:
        before: (S, S, 3) uint8.
        after: The same shape.
        threshold: Smallest difference of a cell's colour, as a share of a channel's range; 0 has
            everything changed.

    Returns:
        (S, S) bool, with a margin of about one cell around each change.
    """
    from scipy import ndimage

    if threshold <= 0:
        return np.ones(before.shape[:2], bool)
    cells = [
        np.asarray(Image.fromarray(one).resize((_SEEN, _SEEN), Image.Resampling.BOX), np.float32)
        for one in (before, after)
    ]
    # A median over the neighbourhood: an edge that moved by a part of a cell is no change.
    difference = ndimage.median_filter(np.abs(cells[1] - cells[0]).max(axis=2) / 255, size=3)
    around = np.ones((3, 3), bool)
    found = ndimage.binary_closing(np.pad(difference > threshold, 1, "edge"), around)
    found = ndimage.binary_fill_holes(found[1:-1, 1:-1])
    labels, count = ndimage.label(found, structure=around)
    if count:
        found &= np.bincount(labels.ravel())[labels] >= _SPECK
    found = ndimage.binary_dilation(found, around)
    grown = Image.fromarray((found * 255).astype(np.uint8))
    # Between the cells, outlines are smooth.
    return np.asarray(grown.resize(before.shape[1::-1], Image.Resampling.BILINEAR)) >= _HALF


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

    @property
    def shown(self) -> Image.Image:
        """What models see of the picture, RGB."""
        return cut_out(_flat(self.picture), self.frame, WHITE)

    @property
    def shown_mask(self) -> Image.Image:
        """What models see of the mask, RGB."""
        assert self.inside is not None
        mask = Image.fromarray(self.inside).convert("RGB")
        return cut_out(mask, self.frame, (0, 0, 0))

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
    edit: Edit, drawn: Image.Image, *, threshold: float = THRESHOLD, seam: float = SEAM
) -> Image.Image:
    """The picture with what was drawn in the places that may change.

    Args:
        edit: The picture, and what of it may change.
        drawn: RGB, a square: the frame, drawn anew.
        threshold: Without a mask, what differs by less is restored; see `changed`.
        seam: Share of the frame's side over which old and new mix, inside of what changes.

    Returns:
        An image of the picture's size and mode, with its colour profile. All pixels that do not
        change are equal to the picture's, and where nothing changes it is the picture itself.
    """
    side = edit.frame.side
    new = np.asarray(drawn.resize((side, side), Image.Resampling.BICUBIC))
    if edit.inside is None:
        inside = _placed(changed(np.asarray(edit.shown), new, threshold), edit)
    else:
        inside = edit.inside
    if not inside.any():
        return edit.picture.copy()
    weights = seam_weights(inside, seam * side)[..., None]
    flat = np.asarray(_flat(edit.picture))
    mixed = flat + weights * (_placed(new, edit).astype(np.float32) - flat)
    before = np.asarray(edit.picture)
    after = before.copy()
    after[..., :3] = np.where(weights > 0, np.rint(mixed), before[..., :3])
    if before.shape[2] == 4:  # what was drawn is opaque
        opaque = before[..., 3:] + weights * (255.0 - before[..., 3:])
        after[..., 3:] = np.where(weights > 0, np.rint(opaque), before[..., 3:])
    result = Image.fromarray(after)
    result.info = dict(edit.picture.info)
    return result


def _flat(picture: Image.Image) -> Image.Image:
    """RGB, white showing through."""
    return load_image(picture, max_pixels=picture.width * picture.height)


def _placed(framed: np.ndarray, edit: Edit) -> np.ndarray:
    """What a frame holds, where it lies in the picture: (side, side, …) -> (H, W, …), else 0."""
    width, height = edit.picture.size
    out = np.zeros((height, width, *framed.shape[2:]), framed.dtype)
    left, top, right, bottom = edit.frame.box
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    out[y0:y1, x0:x1] = framed[y0 - top : y1 - top, x0 - left : x1 - left]
    return out
