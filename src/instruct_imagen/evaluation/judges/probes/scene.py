"""A case's exact truth, drawn at the size of the image that is judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from instruct_imagen.data.example import Example, ExampleReference, Picture, Placement, Scene
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.render import covered, render_pictures
from instruct_imagen.evaluation.case import Case, EvaluationError

from .grounds import drawn
from .regions import filled, standing_out
from .sprites import small_atlas

Owners = tuple[int | None, ...]
"""For each asset of the target the marker of the reference that shows it, or None."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What is right.

    Attributes:
        example: Of the case.
        scene: Of the target.
        source: The scene that is edited; None where nothing is.
        atlas: Has the sprites of both.
        size: Pixels of a side.
    """

    example: Example
    scene: Scene
    source: Scene | None
    atlas: Atlas
    size: int

    @cached_property
    def pixels(self) -> Tensor:
        """The target, (3, size, size) float32."""
        return self.drawn(self.scene)

    @cached_property
    def source_pixels(self) -> Tensor:
        """The picture that is edited, (3, size, size) float32; the target where none is."""
        return self.drawn(self.source) if self.source else self.pixels

    @cached_property
    def covers(self) -> Tensor:
        """(assets, size, size) bool, what each covers, hidden or not."""
        return self.covered(self.scene)

    @cached_property
    def mask(self) -> Tensor:
        """(size, size) bool, all assets, holes filled."""
        return filled(self.covers.any(0))

    @cached_property
    def seen(self) -> Tensor:
        """The assets as far as they stand out from their background, (size, size) bool."""
        return standing_out(self.pixels, drawn(self.scene.background, self.size))

    @cached_property
    def owners(self) -> Owners:
        """See `Owners`."""
        found: list[int | None] = []
        for asset in self.scene.placements:
            names = [
                one.marker
                for one in self.example.references
                if one.role in ("subject", "face") and _shows(one, asset)
            ]
            found.append(names[0] if names else None)
        return tuple(found)

    def drawn(self, scene: Scene) -> Tensor:
        """A scene's image, (3, size, size) float32."""
        return render_pictures([Picture(scene=scene)], self.atlas, self.size)[0].float()

    def drawn_picture(self, picture: Picture) -> Tensor:
        """A picture of any kind, (3, size, size) float32."""
        return render_pictures([picture], self.atlas, self.size)[0].float()

    def covered(self, scene: Scene) -> Tensor:
        """(assets, size, size) bool."""
        if not scene.placements:
            return torch.zeros(0, self.size, self.size, dtype=torch.bool)
        return covered(scene, self.atlas, self.size)

    def alone(self, asset: Placement) -> Tensor:
        """An asset on the target's background without the others, (3, size, size) float32."""
        return self.drawn(replace(self.scene, placements=(asset,)))


def _shows(reference: ExampleReference, asset: Placement) -> bool:
    """Whether a reference shows the asset, or its person."""
    shown = cast(Picture, reference.picture).scene.placements[0]
    if reference.role == "face":
        return shown.style == asset.style
    return shown.concept == asset.concept


def truth_of(case: Case, size: int) -> Truth:
    """The truth of a case.

    Args:
        case: Of the starter world.
        size: Pixels of a side.

    Raises:
        EvaluationError: It has no ground truth, or its artwork is not there.
    """
    example = case.example
    if example is None:
        raise EvaluationError(
            f"case {case.id} has no ground truth: judge real images by another judge, e.g. "
            "`embedding` or `vlm`"
        )
    pictures = [example.target, *(one.picture for one in example.references)]
    if not all(isinstance(picture, Picture) for picture in pictures):
        raise EvaluationError(
            f"case {case.id} shows photographs: judge real images by another judge, e.g. "
            "`embedding` or `vlm`"
        )
    scenes = [cast(Picture, picture).scene for picture in pictures]
    sources = [
        cast(Picture, one.picture).scene for one in example.references if one.role == "source"
    ]
    pairs = {(one.concept, one.style) for scene in scenes for one in scene.placements}
    return Truth(
        example=example,
        scene=scenes[0],
        source=sources[0] if sources else None,
        atlas=small_atlas(sorted(pairs)),
        size=size,
    )
