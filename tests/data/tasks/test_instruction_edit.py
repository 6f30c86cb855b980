"""Edits without a mask: the words are true of source and target, and nothing else changes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from instruct_imagen.data.example import Background, Example, Picture, Placement, Scene
from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.data.tasks.base import load_templates
from instruct_imagen.data.tasks.edits import (
    adding,
    draw_tinting,
    edit_words,
    mirroring,
    moving,
    recolouring,
    removing,
    replacing,
    tinting,
)
from instruct_imagen.data.tasks.instruction_edit import InstructionEdit
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.captions import adjectives
from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.data.world.nouns import described, takes_flip
from instruct_imagen.data.world.places import PLACES
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import (
    DARK_COLOURS,
    DARK_INK_STYLES,
    PALETTE,
    can_be_tinted,
    caption_name,
    definite,
    plural,
    scene_rng,
)
from instruct_imagen.data.world.sources import IconSet
from instruct_imagen.data.world.variety import PLAIN, Variety
from instruct_imagen.data.world.vocabulary import Vocabulary, training_vocabulary

COUNT = 1500
ALWAYS = {"recolour": 0.25, "mirror": 0.1, "move": 0.1}
SHARES = {
    "plain": {**ALWAYS, "replace": 0.275, "add": 0.1375, "remove": 0.1375},
    "rich": {**ALWAYS, "tint": 0.1, "replace": 0.225, "add": 0.1125, "remove": 0.1125},
}
VARIETIES = {"plain": PLAIN, "rich": Variety(places=0.3, turned=0.2, tinted=0.3)}


@pytest.fixture(scope="module", params=list(SHARES))
def variety(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def examples(training_world: Vocabulary, variety: str) -> list[Example]:
    """Of everything that training may draw, in simple scenes and in rich ones."""
    world = replace(training_world, variety=VARIETIES[variety])
    return [InstructionEdit().example(scene_rng(21, i), world) for i in range(COUNT)]


def scenes(example: Example) -> tuple[Scene, Scene]:
    (reference,) = example.references
    return reference.picture.scene, example.target.scene


def kind_of(example: Example) -> str:
    """Which edit it is, found by comparing its scenes; fails if more than one thing changes."""
    source, target = scenes(example)
    before = [asset for asset in source.placements if asset not in target.placements]
    after = [asset for asset in target.placements if asset not in source.placements]
    if source.background != target.background:
        assert source.placements == target.placements
        return "recolour"
    assert len(source.placements) - len(before) == len(target.placements) - len(after)
    assert (len(before), len(after)) in {(1, 1), (0, 1), (1, 0)}
    if not before or not after:
        return "remove" if before else "add"
    (old,), (new,) = before, after
    assert source.placements.index(old) == target.placements.index(new)
    if new.concept != old.concept:
        flip = old.flip and takes_flip(new.concept)
        assert new == replace(old, concept=new.concept, flip=flip, turn=0, tint="")
        return "replace"
    if new.flip != old.flip:
        assert new == replace(old, flip=not old.flip)
        assert takes_flip(old.concept)
        return "mirror"
    if new.tint != old.tint:
        assert new == replace(old, tint=new.tint)
        return "tint"
    assert new == replace(old, x=new.x, y=new.y)
    return "move"


def test_one_thing_changes_and_all_kinds_of_change_occur(
    examples: list[Example], variety: str
) -> None:
    found = Counter(kind_of(example) for example in examples)
    assert set(found) == set(SHARES[variety])
    for kind, share in SHARES[variety].items():
        assert abs(found[kind] / COUNT - share) < 0.04
    counts = {len(example.references[0].picture.scene.placements) for example in examples}
    assert counts == set(range(1, VARIETIES[variety].most_assets + 1))
    for example in examples:
        (reference,) = example.references
        assert (reference.marker, reference.role) == (1, "source")
        assert reference.picture.kind == "image"
        assert len({asset.style for scene in scenes(example) for asset in scene.placements}) == 1
    assert len({example.references[0].text for example in examples}) >= 6


def test_a_new_background_is_the_one_that_is_said(examples: list[Example], variety: str) -> None:
    said: Counter[str] = Counter()
    for example in examples:
        if kind_of(example) != "recolour":
            continue
        background = example.target.scene.background
        if background.kind == "place":
            assert background.place != example.references[0].picture.scene.background.place
            text = example.text.lower()
            assert any(phrase in text for phrase in PLACES[background.place].phrases), example.text
            said["place"] += 1
            continue
        colours = background.colours
        # The longest name first: "light blue" and not "blue".
        names = sorted(PALETTE, key=len, reverse=True)
        found = re.findall(r"\b(" + "|".join(names) + r")\b", example.text)
        assert tuple(found) == colours, example.text
        assert "background" in example.text.lower()
        said[example.target.scene.background.kind] += 1
        if {asset.style for asset in example.target.scene.placements} & DARK_INK_STYLES:
            assert not set(colours) & DARK_COLOURS
    assert min(said["plain"], said["gradient"]) > 0.15 * said.total()
    assert ("place" in said) == (VARIETIES[variety].places > 0)


@pytest.mark.parametrize(
    ("background", "wordings"),
    [
        (Background(kind="plain", colours=("orange",)), 8),
        (Background(kind="gradient", colours=("red", "light grey")), 7),
    ],
)
def test_wordings_of_a_background(background: Background, wordings: int) -> None:
    asset = Placement(concept="dog", style="twemoji", x=0.5, y=0.5, scale=0.5)
    before = Scene(background=Background(kind="plain", colours=("white",)), placements=(asset,))
    edit = recolouring(before, background)
    assert edit.kept == edit.target.placements == (asset,)
    rng = scene_rng(22, 0)
    said = {edit_words(rng, edit) for _ in range(200)}
    assert len(said) == wordings
    for words in said:
        places = [words.index(colour) for colour in background.colours]
        assert places == sorted(places)
        assert " a orange" not in words


def test_what_is_mirrored_is_named(examples: list[Example]) -> None:
    place = r"( (on the (left|right)|(to the (left|right) of|next to|above|below|on top of) .+?))?"
    for example in examples:
        if kind_of(example) != "mirror":
            continue
        source, target = scenes(example)
        (old,) = (asset for asset in source.placements if asset not in target.placements)
        words = rf"(mirror|flip) {re.escape(definite(old.concept))}{place}( horizontally)?\b"
        assert re.search(words, example.text, re.IGNORECASE), example.text
        assert [asset.concept for asset in source.placements].count(old.concept) == 1


def test_what_is_moved_goes_where_it_is_said(examples: list[Example]) -> None:
    said: Counter[str] = Counter()
    for example in examples:
        if kind_of(example) != "move":
            continue
        source, target = scenes(example)
        (index,) = (i for i, asset in enumerate(source.placements) if asset != target.placements[i])
        old, new = source.placements[index], target.placements[index]
        assert max(abs(old.x - new.x), abs(old.y - new.y)) >= 0.2
        for centre in (new.x, new.y):
            assert new.scale / 2 - 1e-9 <= centre <= 1 - new.scale / 2 + 1e-9
        words = f"{definite(old.concept)} ".lower()
        assert words in example.text.lower(), example.text
        after = example.text.lower().split(words, 1)[1]
        found = re.match(
            r"(?:to the (left|right|top|bottom)\b(?! of)"
            r"|(to the left of|to the right of|above|below) )",
            after,
        )
        assert found, example.text
        edge, side = found.groups()
        if edge:
            toward = {"left": old.x - new.x, "right": new.x - old.x}
            toward |= {"top": old.y - new.y, "bottom": new.y - old.y}
            assert toward[edge] >= 0.2, example.text
            said[edge] += 1
            continue
        rest = after[found.end() :]
        named = [one for one in target.placements if rest.startswith(definite(one.concept).lower())]
        assert named, example.text
        other = max(named, key=lambda one: len(definite(one.concept)))
        assert [one.concept for one in target.placements].count(other.concept) == 1
        reach = 0.69 * (new.scale + other.scale) / 2
        beside = {"to the left of": other.x - new.x, "to the right of": new.x - other.x}
        beside |= {"above": other.y - new.y, "below": new.y - other.y}
        assert beside[side] > reach, example.text
        said[side] += 1
    assert {"left", "right", "top", "bottom", "above", "below"} <= set(said)
    assert said["to the left of"] + said["to the right of"] > 0


def test_what_is_coloured_gets_that_colour(training_world: Vocabulary) -> None:
    rich = replace(training_world, variety=VARIETIES["rich"])
    wordings = set()
    for index in range(400):
        rng = scene_rng(24, index)
        edit = draw_tinting(rng, rich)
        assert edit.kind == "tint"
        assert edit.new == replace(edit.old, tint=edit.new.tint)
        assert edit.target.placements[edit.source.placements.index(edit.old)] == edit.new
        assert can_be_tinted(edit.new.concept, edit.new.style)
        assert edit.new.tint not in edit.source.background.colours
        words = edit_words(rng, edit)
        name = definite(edit.old.concept)
        found = re.fullmatch(
            rf"(make|paint|colour|turn|change the colour of|give) {re.escape(name)}"
            rf"( .+)? (to |an? )?{edit.new.tint}( colour)?",
            words,
        )
        assert found, words
        wordings.add(found[1])
        assert [one.concept for one in edit.source.placements].count(edit.old.concept) == 1
    assert len(wordings) == 6
    with pytest.raises(ValueError, match="no drawing that takes on a colour"):
        draw_tinting(scene_rng(0, 0), Vocabulary((("owl", "emojione-monotone"),)))


def test_edits_by_hand_change_one_thing() -> None:
    def at(concept: str, x: float) -> Placement:
        return Placement(concept=concept, style="flat", x=x, y=0.5, scale=0.4, tint="blue", turn=15)

    background = Background(kind="plain", colours=("white",))
    scene = Scene(background=background, placements=(at("sun", 0.25), at("car", 0.75)))
    red = tinting(scene, 0, "red")
    assert red.target.placements == (replace(at("sun", 0.25), tint="red"), at("car", 0.75))
    gone = moving(scene, 0, 0.25, 0.78, "to the bottom")
    assert gone.target.placements[0] == replace(at("sun", 0.25), y=0.78)
    assert gone.changed.placements == (at("sun", 0.25), gone.new)
    assert edit_words(scene_rng(0, 0), gone).endswith("the sun to the bottom")
    fish = replacing(scene, 1, "fish")
    assert fish.new == replace(at("fish", 0.75), tint="", turn=0)
    found = [one.kind for one in (red, gone, fish, mirroring(scene, 0), removing(scene, 0))]
    assert found == ["tint", "move", "replace", "mirror", "remove"]
    assert [adding(scene, 0).kind, recolouring(scene, background).kind] == ["add", "background"]


def test_a_mirrored_asset_keeps_its_place() -> None:
    asset = Placement(concept="car", style="flat", x=0.3, y=0.6, scale=0.5, flip=True)
    other = replace(asset, concept="sun", x=0.8)
    background = Background(kind="plain", colours=("white",))
    edit = mirroring(Scene(background=background, placements=(asset, other)), 0)
    assert edit.target.placements == (replace(asset, flip=False), other)
    assert edit.kept == (other,)


def test_what_comes_and_goes_is_named(examples: list[Example]) -> None:
    for example in examples:
        source, target = ({one.concept for one in scene.placements} for scene in scenes(example))
        text = example.text.lower()
        for concept in target - source:
            (new,) = (one for one in example.target.scene.placements if one.concept == concept)
            assert described(concept, adjectives(new)).lower() in text, example.text
        for concept in source - target:
            assert definite(concept).lower() in text, example.text


def test_the_caption_describes_the_target(examples: list[Example]) -> None:
    for example in examples:
        target = example.target.scene
        for asset in target.placements:
            name, several = caption_name(asset.concept), plural(asset.concept)
            assert name in example.caption or (several and several in example.caption)
        assert all(colour in example.caption for colour in target.background.colours)
        if target.background.place:
            phrases = PLACES[target.background.place].phrases
            assert any(phrase in example.caption for phrase in phrases)


def test_pictures_change_and_only_where_they_should(
    icon_sets: Mapping[str, IconSet], variety: str
) -> None:
    vocabulary = training_vocabulary(limit=24, min_styles=8, sets=icon_sets)
    vocabulary = replace(vocabulary, variety=VARIETIES[variety])
    check_pictures(vocabulary, Atlas.build(vocabulary.pairs, sets=icon_sets))


def test_our_own_drawings_can_be_edited() -> None:
    check_pictures(fallback_vocabulary(), fallback_atlas())


def check_pictures(vocabulary: Vocabulary, atlas: Atlas) -> None:
    """New backgrounds leave what assets cover alone, other edits leave the background alone."""
    found = [InstructionEdit().example(scene_rng(23, i), vocabulary) for i in range(200)]
    for size in (32, 33):
        pairs = [[Picture(scene=scene) for scene in scenes(example)] for example in found]
        before, after = (
            render_pictures([pair[which] for pair in pairs], atlas, size) for which in (0, 1)
        )
        # A square around an asset holds all of its pixels, wherever it is mirrored.
        squares = [
            Picture(scene=replace(source, placements=changed), kind="region")
            for example in found
            for source, target in (scenes(example),)
            for changed in (tuple(set(source.placements) ^ set(target.placements)),)
            if changed
        ]
        kinds = [kind_of(example) for example in found]
        moved = torch.tensor([kind != "recolour" for kind in kinds])
        outside = render_pictures(squares, atlas, size) == 0
        assert torch.equal(before[moved][outside], after[moved][outside])
        masks = [
            Picture(scene=scenes(example)[0], kind="mask")
            for example, kind in zip(found, kinds, strict=True)
            if kind == "recolour"
        ]
        covered = render_pictures(masks, atlas, size) == 255
        assert covered.any()
        # Where two assets overlap, each can leave a trace of what is behind both.
        traces = (before[~moved][covered].int() - after[~moved][covered].int()).abs()
        assert traces.max() <= 1
        assert (traces == 0).float().mean() > 0.999
        differs = (before != after).flatten(1).any(1)
        # Some drawings are their own mirror image, and twins exist in line art.
        assert set(kinds) >= {"mirror", "move", "recolour", "replace"}
        sure = torch.tensor([kind != "mirror" for kind in kinds])
        assert differs[sure].float().mean() > 0.98
        assert differs[~sure].any()


def test_templates_are_many_and_vary() -> None:
    templates = load_templates("instruction_edit", *InstructionEdit.forms)
    assert len(templates) >= 105
    starts = Counter(one.split()[0].strip('.,:;!"').lower() for one in templates)
    assert len(starts) > 35
    first = sum(one.index("{source}") < one.lower().index("{edit}") for one in templates)
    assert 0.3 < first / len(templates) < 0.8


def test_the_papers_mixture_does_not_have_it() -> None:
    assert not PAPER_RATIOS.get("instruction_edit")
