from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from instruct_imagen.data.world.artwork import clip_art, registry, stamps
from instruct_imagen.data.world.artwork.registry import SOURCES, read_source, read_styles
from instruct_imagen.data.world.artwork.stamps import Photographs, Stamps
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.holdout import holdout, named_like_heldout
from instruct_imagen.data.world.npm import CACHE_VARIABLE
from instruct_imagen.data.world.scenes import STYLE_NAMES, caption_name
from instruct_imagen.data.world.sources import IconSet
from instruct_imagen.data.world.vocabulary import (
    PHOTOGRAPHIC_STYLES,
    VocabularyError,
    training_vocabulary,
)
from instruct_imagen.recipes import RecipeError, override, recipe

from .test_stamps import stamp


def chosen(monkeypatch: pytest.MonkeyPatch, source: Stamps) -> None:
    """Has this one stand for the installed stamps."""
    monkeypatch.setattr(registry, "SOURCES", {**SOURCES, "stamps": source})


def test_every_source_says_what_it_is_and_how_to_get_it() -> None:
    assert tuple(SOURCES) == ("emoji", "faces", "stamps", "clip_art")
    for name, source in SOURCES.items():
        assert source.name == name and source.content
        assert source.get and "\n" not in source.get
        assert set(source.styles) <= set(STYLE_NAMES)
    assert PHOTOGRAPHIC_STYLES == (stamps.STYLE,)


def test_a_source_that_is_not_here_is_left_out_with_one_line(
    tmp_path: Path,
    icon_sets: Mapping[str, IconSet],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen(monkeypatch, Stamps(folder=tmp_path / "none"))
    assert read_source("stamps") == {}
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "stamps is left out" in error and "apt install tuxpaint-stamps-default" in error
    usual = training_vocabulary(limit=5, sets=icon_sets)
    assert training_vocabulary(limit=5, sources=("emoji", "stamps"), sets=icon_sets) == usual
    assert capsys.readouterr().err == error


def test_photographs_join_the_emoji_without_what_is_held_out(
    tmp_path: Path, icon_sets: Mapping[str, IconSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    for name in ("horse", "woodlouse", "key", "sea lion", "green bus"):
        stamp(tmp_path / "stamps", name.replace(" ", "_"), f"A {name}.")
    source = Stamps(folder=tmp_path / "stamps")
    chosen(monkeypatch, source)
    usual = training_vocabulary(categories=["Animals & Nature"], sets=icon_sets)
    found = training_vocabulary(
        categories=["Animals & Nature"], sources=("emoji", "stamps"), sets=icon_sets
    )
    assert found.pairs == (*usual.pairs, ("horse", "photograph"), ("woodlouse", "photograph"))
    assert found.styles_of("horse") == (*usual.styles_of("horse"), "photograph")
    assert found.styles_of("woodlouse") == ("photograph",)
    sets = {**icon_sets, **source.read()}
    atlas = Atlas.build(found.pairs[-3:], sets=sets, cache=tmp_path / "atlas")
    assert atlas.sources["photograph"]["licence"] == "GPL-2.0-or-later"


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("bus", True), ("green-bus", True), ("buses", True), ("eggs", True), ("egg-cup", True),
        ("eggplant", False), ("keyboard", False), ("lion", True), ("sea-lion", True),
        ("lioness", True), ("sports-car", True), ("race-cars", True), ("card", False),
        ("padlock", True), ("toadstool", True), ("bunny", True), ("picture-frame", True),
        ("magnifying-glass", True), ("small-house", True), ("smiley", True),
        ("flat-screen", True), ("lcd-monitor", True), ("monitor", True), ("yellow-flower", True),
        ("photo", True), ("xanthia", True), ("sunfish", False), ("horse", False), ("owl", False),
        ("red-apple", False), ("computer", False), ("bear", False),
    ],
)  # fmt: skip
def test_other_sources_are_held_out_by_name(name: str, held: bool) -> None:
    assert named_like_heldout(name) == held


def test_every_held_out_concept_is_held_out_by_its_names() -> None:
    for concept in holdout().concepts:
        assert named_like_heldout(concept)
        spoken = caption_name(concept).replace(" ", "-")
        several = spoken if spoken.endswith("s") else f"{spoken}s"
        for name in (spoken, several, f"big-{spoken}", f"{spoken}-shop"):
            assert named_like_heldout(name), name


@pytest.mark.parametrize("source", [stamps.SOURCE, clip_art.SOURCE], ids=lambda one: one.name)
def test_what_is_installed_is_trained_on_without_the_holdout(
    source: stamps.Stamps | clip_art.OpenClipArt, icon_sets: Mapping[str, IconSet]
) -> None:
    if source.find() is None:
        pytest.skip(f"needs {source.get}")
    (style,) = source.read()
    found = training_vocabulary(limit=5, sources=("emoji", source.name), sets=icon_sets)
    words = {caption_name(concept) for concept in holdout().concepts}
    kept = found.concepts_of(style)
    assert len(kept) > 150
    for concept in kept:
        assert not words & set(concept.split("-")), concept
        assert caption_name(concept) not in words


def test_styles_are_found_in_their_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stamp(tmp_path / "stamps", "owl", "An owl.")
    chosen(monkeypatch, Stamps(folder=tmp_path / "stamps"))
    found = read_styles(["photograph", "noto"])
    assert isinstance(found["photograph"], Photographs)
    assert isinstance(found["noto"], IconSet)


@pytest.mark.parametrize(
    ("setting", "cause"),
    [
        ("sources=emoji,stamp", "sources=stamp is unknown: use some of emoji, faces, stamps"),
        ("sources=faces", "sources=faces must have emoji"),
        ("sources=emoji,emoji", "none of them twice"),
        ("people=0", "people=0 must be 1 or more"),
        ("people=401", "people=401 must be at most 400"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting: str, cause: str) -> None:
    with pytest.raises(RecipeError, match=cause):
        override(recipe("starter"), [setting])


def test_unknown_sources_are_named(icon_sets: Mapping[str, IconSet]) -> None:
    with pytest.raises(VocabularyError, match="must be emoji and some of"):
        training_vocabulary(sources=("stamps",), sets=icon_sets)
