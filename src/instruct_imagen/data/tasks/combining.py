"""What the tasks have in common that combine conditions: held out of training, made to evaluate.

[Hu24] §5 asks its zero-shot questions with them: no training task shows such a pair or triple. The
target follows all conditions at once, so each example is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from instruct_imagen.data.example import Example, ExampleReference, Picture, Placement, Scene
from instruct_imagen.data.tasks.base import (
    fill,
    load_templates,
    marker,
    opens_sentence,
    pick,
    pick_other,
    placeholders,
    retry,
)
from instruct_imagen.data.tasks.depth_to_image import DepthToImage
from instruct_imagen.data.tasks.edge_to_image import EdgeToImage
from instruct_imagen.data.tasks.mask_to_image import MaskToImage
from instruct_imagen.data.tasks.sketch_to_image import SketchToImage
from instruct_imagen.data.tasks.styled import STYLE_WORDS
from instruct_imagen.data.tasks.subject import SAME_SIDE, mark_subject, portrait
from instruct_imagen.data.world.scenes import (
    ONE_ASSET,
    caption,
    caption_name,
    sample_scene,
)

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.world.vocabulary import Vocabulary

CONTROLS = (DepthToImage(), MaskToImage(), EdgeToImage(), SketchToImage())
CONTROL_NAMES = {"depth": "depth map", "mask": "mask", "edge": "edge map", "sketch": "sketch"}
"""What instructions call the control, where they do not leave it at the marker."""

NAMED_CONTROL = 0.5
BACKGROUND_WORDS = ("background", "background", "background image", "backdrop")
TWO_PICTURES = 0.25
"""Share of subjects that two pictures show."""

TWO_STYLES = 0.5
"""Share of pairs of subjects that are drawn in different styles, where no style is asked for."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Which conditions an instruction has.

    Attributes:
        subjects: How many; 0 to 2.
        style: Whether one tells the style of everything.
        control: Whether one tells where everything is.
        background: Whether one shows what is behind.
    """

    subjects: int
    style: bool = False
    control: bool = False
    background: bool = False

    @property
    def forms(self) -> tuple[frozenset[str], ...]:
        """The sets of placeholders that suit it."""
        others = {name for name in ("style", "control", "background") if getattr(self, name)}
        marked = {0: set(), 1: {"subject"}, 2: {"first", "second"}}[self.subjects]
        forms = [frozenset({"caption", *marked, *others})]
        return (*forms, frozenset({"scene", *others})) if marked else tuple(forms)


@dataclass(frozen=True, kw_only=True)
class _Condition:
    """The pictures that share a marker; `text` is the short text of each."""

    role: str
    text: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, kw_only=True)
class _Cast:
    """Who is in the target: concepts, the styles that their references have, and the target's."""

    concepts: tuple[str, ...]
    own: tuple[str, ...]
    drawn: tuple[str, ...]
    shown: str | None  # what the style image shows


class CombinationTask:
    """A task of the hold-out.

    Attributes:
        kinds: Of its instructions, equally frequent.
    """

    name: ClassVar[str]
    forms: ClassVar[tuple[frozenset[str], ...]]
    kinds: ClassVar[tuple[Kind, ...]]
    heldout = True

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """A scene that follows every condition at once; markers have any order."""
        kind = pick(rng, self.kinds)
        cast = retry(lambda: _cast(rng, vocabulary, kind), "assets for so many conditions")
        assets = list(zip(cast.concepts, cast.drawn, strict=True))
        scene = sample_scene(rng, vocabulary, assets=assets, as_drawn=True)
        conditions = _conditions(rng, vocabulary, kind, cast, scene)
        order = rng.permutation(len(conditions))
        number = {int(place): k for k, place in enumerate(order, start=1)}
        references = tuple(
            ExampleReference(marker=number[place], text=one.text, role=one.role, picture=picture)
            for place, one in sorted(enumerate(conditions), key=lambda item: number[item[0]])
            for picture in one.pictures
        )
        template = pick(rng, _templates(self.name, self.forms, kind))
        words = caption(
            scene,
            rng,
            with_style=False,
            with_background=not kind.background,
            opens=opens_sentence(template),
        )
        text = fill(template, **_values(rng, kind, cast, conditions, number, words))
        return Example(
            task=self.name,
            text=text,
            caption=words,
            references=references,
            target=Picture(scene=scene),
        )


@cache
def _templates(name: str, forms: tuple[frozenset[str], ...], kind: Kind) -> tuple[str, ...]:
    """Those of a task that suit a kind."""
    return tuple(line for line in load_templates(name, *forms) if placeholders(line) in kind.forms)


def _cast(rng: np.random.Generator, vocabulary: Vocabulary, kind: Kind) -> _Cast | None:
    """Assets for a target; None where what was drawn does not fit together."""
    style = pick(rng, vocabulary.styles)
    drawn = [style, style]
    count = kind.subjects or (1 if rng.random() < ONE_ASSET else 2)
    if kind.subjects == 2 and not kind.style and rng.random() < TWO_STYLES:
        drawn[1] = pick_other(rng, vocabulary.styles, style) or style
    concepts: list[str] = []
    for own in drawn[:count]:
        found = pick_other(rng, vocabulary.concepts_of(own), *concepts)
        if found is None or not _told_apart(found, concepts):
            return None
        concepts.append(found)
    shown = pick_other(rng, vocabulary.concepts_of(style), *concepts) if kind.style else None
    own_styles = drawn[:count]
    if kind.style and kind.subjects:
        own_styles = [pick_other(rng, vocabulary.styles_of(one), style) for one in concepts]
    if None in own_styles or (kind.style and shown is None):
        return None
    return _Cast(
        concepts=tuple(concepts), own=tuple(own_styles), drawn=tuple(drawn[:count]), shown=shown
    )


def _told_apart(concept: str, others: list[str]) -> bool:
    """Whether no name is part of another one."""
    name, names = caption_name(concept), [caption_name(other) for other in others]
    return not any(name in other or other in name for other in names)


def _conditions(
    rng: np.random.Generator, vocabulary: Vocabulary, kind: Kind, cast: _Cast, scene: Scene
) -> list[_Condition]:
    """Subjects in the order of the cast, then style, control and background."""
    found = []
    for concept, style in list(zip(cast.concepts, cast.own, strict=True))[: kind.subjects]:
        asset = next(one for one in scene.placements if one.concept == concept)
        pictures = _portraits(rng, asset, style, scene.background.colours)
        found.append(_Condition(role="subject", text=caption_name(concept), pictures=pictures))
    if kind.style and cast.shown is not None:
        image = sample_scene(rng, vocabulary, assets=[(cast.shown, cast.drawn[0])], as_drawn=True)
        pictures = (Picture(scene=image),)
        found.append(_Condition(role="style", text=pick(rng, STYLE_WORDS), pictures=pictures))
    if kind.control:
        control = pick(rng, CONTROLS)
        pictures = (control.reference(rng, scene),)
        found.append(
            _Condition(role=control.kind, text=pick(rng, control.words), pictures=pictures)
        )
    if kind.background:
        empty = Picture(scene=replace(scene, placements=()))
        text = pick(rng, BACKGROUND_WORDS)
        found.append(_Condition(role="content", text=text, pictures=(empty,)))
    return found


def _portraits(
    rng: np.random.Generator, asset: Placement, style: str, avoid: tuple[str, ...]
) -> tuple[Picture, ...]:
    """One or two pictures of a subject in a style of its own."""
    flip = asset.flip if rng.random() < SAME_SIDE else not asset.flip
    found = []
    for _ in range(1 if rng.random() >= TWO_PICTURES else 2):
        shown = portrait(rng, asset.concept, style, avoid=avoid, flip=flip)
        avoid, flip = (*avoid, *shown.background.colours), not flip
        found.append(Picture(scene=shown))
    return tuple(found)


def _values(
    rng: np.random.Generator,
    kind: Kind,
    cast: _Cast,
    conditions: list[_Condition],
    number: dict[int, int],
    words: str,
) -> dict[str, str]:
    """What the placeholders of a template are filled with."""
    values = {"caption": words}
    marked = words
    subjects = []
    for place in range(kind.subjects):
        name = caption_name(cast.concepts[place])
        marked = mark_subject(marked, name, number[place])
        subjects.append(f"{marker(number[place])} {name}")
    if subjects:
        values["scene"] = marked
        values |= dict(
            zip(("first", "second") if subjects[1:] else ("subject",), subjects, strict=True)
        )
    for place in range(kind.subjects, len(conditions)):
        role, mark = conditions[place].role, marker(number[place])
        if role in CONTROL_NAMES:
            named = rng.random() < NAMED_CONTROL
            values["control"] = f"the {CONTROL_NAMES[role]} {mark}" if named else mark
        else:
            values["style" if role == "style" else "background"] = mark
    return values
