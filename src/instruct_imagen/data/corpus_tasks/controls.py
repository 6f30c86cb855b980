"""Images and their annotations, photographs and their drawings -> Control2Img ([Hu24] §3.2).

Depth and masks are found at `FINE` pixels or more and made smaller, as networks see little in
small pictures. Lines are drawn at the example's own size: made smaller, they would fade.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from PIL import Image, ImageFilter

from instruct_imagen.data.corpora.records import Captioned, Sketched, StoredImage
from instruct_imagen.data.corpus_tasks.base import (
    Draft,
    Maker,
    Shown,
    Tools,
    in_sentence,
    worded,
)
from instruct_imagen.data.tasks.base import marker, pick
from instruct_imagen.data.tasks.depth_to_image import DepthToImage
from instruct_imagen.data.tasks.edge_to_image import (
    DILATED_ONCE,
    DILATED_TWICE,
    OF_DEPTH,
    OF_MASK,
    EdgeToImage,
)
from instruct_imagen.data.tasks.mask_to_image import MaskToImage
from instruct_imagen.data.tasks.sketch_to_image import SketchToImage
from instruct_imagen.data.tasks.spatial import SpatialTask
from instruct_imagen.images import to_square

FINE = 256
"""Pixels at which depth and masks are found, at least."""

DILATION_SIDE = 32
"""Widths of dilated lines are told in pixels of a picture of this side, as the world's."""


def fine_map(role: str, image: StoredImage, tools: Tools) -> Image.Image:
    """Depth or a mask of an image's square, L, at the example's size."""
    fine = to_square(image.load(), max(FINE, tools.size), "crop")
    found = tools.annotated(role, fine)
    return found.resize((tools.size, tools.size), Image.Resampling.BOX)


def dilated(edges: Image.Image, steps: int) -> Image.Image:
    """Lines wider by about `steps` pixels of 32, at least two of the picture's own a step."""
    if not steps:
        return edges
    reach = max(steps, round(steps * edges.width / DILATION_SIDE / 2))
    return edges.filter(ImageFilter.MaxFilter(2 * reach + 1))


class _Control(Maker[Captioned]):
    """An annotation of the image, and its caption.

    Attributes:
        world: The task of the world that it words its examples as.
    """

    record = Captioned
    lack = "an empty caption"
    world: type[SpatialTask]

    @property
    def task(self) -> str:
        """See `Maker`."""
        return self.world.name

    def targets(self, record: Captioned) -> tuple[int, ...]:
        """The image, if there are words for it."""
        return (0,) if in_sentence(record.caption) else ()

    def draft(
        self, rng: np.random.Generator, record: Captioned, target: int, tools: Tools
    ) -> Draft:
        """The image, and `reference` of it."""
        shown = self.reference(rng, record, tools)
        return control_draft(rng, self.world, record.caption, shown, tools.square(record.image))

    def reference(self, rng: np.random.Generator, record: Captioned, tools: Tools) -> Image.Image:
        """The annotation, mode L."""
        return fine_map(self.world.kind, record.image, tools)


def control_draft(
    rng: np.random.Generator,
    world: type[SpatialTask],
    caption: str,
    shown: Image.Image,
    target: Image.Image,
) -> Draft:
    """The example of a task whose reference lies over its target."""
    words = in_sentence(caption)
    text = worded(world.name, rng, ref1=marker(1), caption=words)
    reference = Shown(marker=1, text=pick(rng, world.words), role=world.kind, image=shown)
    return Draft(text=text, caption=words, references=(reference,), target=target)


class DepthOfImage(_Control):
    """Depth map and caption to image; the user names the network."""

    world = DepthToImage
    needs = MappingProxyType({"depth": ""})


class MaskOfImage(_Control):
    """Mask and caption to image; the user names the network."""

    world = MaskToImage
    needs = MappingProxyType({"mask": ""})


class EdgesOfImage(_Control):
    """Edges of the image, of its depth map or of its mask, dilated or not, and caption to image.

    The shares are the world's; those of maps that no annotator was named for go to the image.
    """

    world = EdgeToImage
    needs = MappingProxyType({"edge": "canny"})
    may = ("depth", "mask")

    def reference(self, rng: np.random.Generator, record: Captioned, tools: Tools) -> Image.Image:
        """A source and a dilation that are drawn independently."""
        source, width = rng.random(), rng.random()
        of = ""
        if source < OF_DEPTH + OF_MASK:
            of = "depth" if source < OF_DEPTH else "mask"
        if of in tools.annotators:
            seen = fine_map(of, record.image, tools).convert("RGB")
        else:
            seen = tools.square(record.image)
        steps = (width < DILATED_ONCE + DILATED_TWICE) + (width < DILATED_TWICE)
        return dilated(tools.annotated("edge", seen), steps)


class SketchOfImage(_Control):
    """A sketch that an annotator draws, where no drawn ones are at hand, and caption to image."""

    world = SketchToImage
    needs = MappingProxyType({"sketch": "sketch"})

    def reference(self, rng: np.random.Generator, record: Captioned, tools: Tools) -> Image.Image:
        """A sketch of the square."""
        return tools.annotated("sketch", tools.square(record.image))


class DrawnSketch(Maker[Sketched]):
    """A person's drawing of a photograph, and its caption."""

    record = Sketched
    lack = "no caption: write name.txt beside image/name.jpg"

    @property
    def task(self) -> str:
        """See `Maker`."""
        return SketchToImage.name

    def targets(self, record: Sketched) -> tuple[int, ...]:
        """The photograph, if there are words for it."""
        return (0,) if in_sentence(record.caption) else ()

    def draft(self, rng: np.random.Generator, record: Sketched, target: int, tools: Tools) -> Draft:
        """Drawing and photograph, cut alike."""
        shown = tools.square(record.sketch).convert("L")
        return control_draft(rng, SketchToImage, record.caption, shown, tools.square(record.photo))


MAKERS = (DepthOfImage, MaskOfImage, EdgesOfImage, SketchOfImage, DrawnSketch)
