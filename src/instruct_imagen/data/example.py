"""The typed objects that cross the borders of the data code.

An `Example` holds no pixels: its pictures are descriptions of scenes, and a renderer turns many of
them into pixels at once (on any device). That keeps task construction pure, cheap and exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from instruct_imagen.data.corpora.records import StoredImage

PictureKind = Literal[
    "image", "edge", "depth_edge", "mask_edge", "sketch", "mask", "depth", "region"
]
EDGE_KINDS: frozenset[PictureKind] = frozenset({"edge", "depth_edge", "mask_edge"})
"""Maps of edges: of the image, of its depth map and of its mask."""

LINE_KINDS: frozenset[PictureKind] = EDGE_KINDS | {"sketch"}
"""What has thin lines, which fade when a large picture of them is reduced."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """One asset in a scene.

    Attributes:
        concept: What is drawn, e.g. ``"red-apple"``.
        style: The artwork's style, e.g. ``"twemoji"``.
        x: Centre, fraction of the frame's width, to the right.
        y: Centre, fraction of the frame's height, downwards.
        scale: Side of the asset's square over the side of the frame.
        flip: Mirrored left to right.
        turn: Degrees anticlockwise, one of `data.world.scenes.TURNS`; the turned drawing fills the
            same square.
        tint: Colour of the palette that it is drawn in shades of; empty for its own colours.
    """

    concept: str
    style: str
    x: float
    y: float
    scale: float
    flip: bool = False
    turn: int = 0
    tint: str = ""


@dataclass(frozen=True, kw_only=True)
class Background:
    """What lies behind the assets.

    Attributes:
        kind: ``plain`` has one colour, ``gradient`` runs from the first (top) to the second,
            ``place`` is one of `data.world.places`.
        colours: Names of the palette in `data.world.scenes`; none for a place.
        place: Its name, e.g. ``"beach"``; empty for colours.
        variant: Which drawing of the place, from 0.
    """

    kind: Literal["plain", "gradient", "place"]
    colours: tuple[str, ...] = ()
    place: str = ""
    variant: int = 0


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Assets on a background, from the farthest to the nearest."""

    background: Background
    placements: tuple[Placement, ...]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture of a scene that is not rendered yet: the image itself or one of its annotations.

    Attributes:
        scene: What it is of.
        kind: What is shown of it.
        dilation: Lines of a map of edges are wider by so many pixels at 32 pixels a side, at least
            0; see `data.world.lines`. Only for `EDGE_KINDS`.
        hand: Seed of the hand that a sketch is drawn by, at least 0; only for ``sketch``.

    Raises:
        ValueError: A dilation or a hand is negative, or the kind has none.
    """

    scene: Scene
    kind: PictureKind = "image"
    dilation: int = 0
    hand: int = 0

    def __post_init__(self) -> None:
        if self.dilation and (self.dilation < 0 or self.kind not in EDGE_KINDS):
            raise ValueError(
                f"dilation={self.dilation} of a picture of kind {self.kind!r}: give one above 0 "
                f"to {', '.join(sorted(EDGE_KINDS))} alone"
            )
        if self.hand and (self.hand < 0 or self.kind != "sketch"):
            raise ValueError(
                f"hand={self.hand} of a picture of kind {self.kind!r}: give one above 0 to sketch "
                "alone"
            )


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """A picture that is an image of the user's own.

    Attributes:
        index: Its place in `data.photographs.Photographs`, from 0.
    """

    index: int


@dataclass(frozen=True, kw_only=True)
class ExampleReference:
    """One reference of an example.

    Attributes:
        marker: k of ``[ref#k]``, from 1; several references may share it. 0 is none: see
            `without_instruction`.
        text: Short text, e.g. ``"dog"`` or ``"edge map"``.
        role: ``subject``, ``face``, ``style``, ``edge``, ``sketch``, ``mask``, ``depth``,
            ``content``, ``source`` or None.
        picture: What it shows; of stored examples, an encoded image.
    """

    marker: int
    text: str
    role: str | None
    picture: Picture | Photograph | StoredImage


@dataclass(frozen=True, kw_only=True)
class Example:
    """An instruction and the picture that answers it.

    Attributes:
        task: The family that it belongs to.
        text: Payload text with markers.
        caption: The plain words that describe the target, without task wording or markers; empty
            where the task has none, as style transfer.
        references: The multi-modal context, in order.
        target: The picture to be generated.
    """

    task: str
    text: str
    caption: str
    references: tuple[ExampleReference, ...]
    target: Picture | Photograph | StoredImage


def without_instruction(example: Example) -> Example:
    """The raw inputs of an example: its caption and bare pictures.

    What the paper's multi-task baseline is trained on: no instruction text and no markers
    ([Hu24] §5).
    """
    references = tuple(replace(one, marker=0, text="") for one in example.references)
    return replace(example, text=example.caption, references=references)
