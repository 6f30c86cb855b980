"""What the tasks have in common whose reference lies pixel for pixel over the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from instruct_imagen.data.example import Example, ExampleReference, Picture, PictureKind, Scene
from instruct_imagen.data.tasks.base import fill, load_templates, marker, opens_sentence, pick
from instruct_imagen.data.world.scenes import caption, sample_scene

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.world.vocabulary import Vocabulary

STYLE_IN_CAPTION = 0.8


class SpatialTask:
    """Control2Img ([Hu24] §3.2): an annotation of the target's own scene, and a caption.

    Attributes:
        kind: The annotation that the reference shows, where `reference` is not another; also the
            reference's role.
        words: Texts of the reference, one of which is drawn.
    """

    name: ClassVar[str]
    kind: ClassVar[PictureKind]
    words: ClassVar[tuple[str, ...]]
    forms = (frozenset({"ref1", "caption"}),)

    def reference(self, rng: np.random.Generator, scene: Scene) -> Picture:
        """What the reference shows of the target's scene."""
        return Picture(scene=scene, kind=self.kind)

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """A scene, asked for by its annotation and a caption that mostly (80%) names the style."""
        scene = sample_scene(rng, vocabulary)
        template = pick(rng, load_templates(self.name, *self.forms))
        with_style = rng.random() < STYLE_IN_CAPTION
        words = caption(scene, rng, with_style=with_style, opens=opens_sentence(template))
        reference = ExampleReference(
            marker=1,
            text=pick(rng, self.words),
            role=self.kind,
            picture=self.reference(rng, scene),
        )
        return Example(
            task=self.name,
            text=fill(template, ref1=marker(1), caption=words),
            caption=words,
            references=(reference,),
            target=Picture(scene=scene),
        )
