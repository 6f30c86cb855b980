from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from instruct_imagen.data.world.artwork import registry
from instruct_imagen.data.world.artwork.registry import SOURCES
from instruct_imagen.data.world.artwork.stamps import Stamps
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.faces import FACE_STYLES, heldout_faces, training_faces
from instruct_imagen.data.world.npm import CACHE_VARIABLE
from instruct_imagen.recipes import RecipeError
from instruct_imagen.recipes.config import resolved
from instruct_imagen.training import build
from instruct_imagen.training.build import build_world
from instruct_imagen.training.checkpoint import CheckpointError
from instruct_imagen.training.loop import Trainer
from instruct_imagen.training.packed_world import load_world, pack_world
from instruct_imagen.training.settings import check_contents, incompatible_settings
from tests.training.runs import tiny


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed world with two people of each style."""
    return pack_world(tiny("unused"), tmp_path_factory.mktemp("packed") / "world.zip")


def test_people_are_those_of_the_world() -> None:
    vocabulary, atlas = build_world(tiny("unused"))
    assert vocabulary.faces == training_faces(people=2)
    assert set(atlas.pairs) == {*vocabulary.pairs, *(face.pair for face in vocabulary.faces)}
    more, _ = build_world(tiny("unused", "people=3"))
    assert more.faces == training_faces(people=3)
    none, atlas = build_world(tiny("unused", "sources=emoji"))
    assert not none.faces and none.pairs == vocabulary.pairs == atlas.pairs
    assert not set(FACE_STYLES) & set(vocabulary.styles)  # scenes of things show no faces


def test_faces_travel_in_a_packed_world(packed: Path) -> None:
    world = load_world(tiny("unused", f"world={packed}"))
    usual = load_world(tiny("unused"))
    assert world.vocabulary == usual.vocabulary
    assert world.vocabulary.faces == training_faces(people=2)
    assert set(world.atlas.sources) == set(usual.atlas.sources)
    assert world.atlas.sources[FACE_STYLES[0]]["author"] == "Lisa Wischofsky"
    for setting, cause in (
        ("people=3", "packed with people=2, the recipe has 3"),
        ("sources=emoji", r"packed with sources=\['emoji', 'faces'\], the recipe has \['emoji'\]"),
    ):
        with pytest.raises(RecipeError, match=cause):
            load_world(tiny("unused", f"world={packed}", setting))


@pytest.mark.parametrize("wrong", ["person", "photograph"])
def test_a_packed_world_with_something_held_out_is_refused(
    tmp_path: Path, packed: Path, wrong: str
) -> None:
    path = tmp_path / "world.zip"
    with zipfile.ZipFile(packed) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    (tmp_path / "atlas.npz").write_bytes(parts["atlas.npz"])
    atlas = Atlas.load(tmp_path / "atlas.npz")
    pair = heldout_faces()[0].pair if wrong == "person" else ("sea-lion", "photograph")
    changed = replace(atlas, pairs=(*atlas.pairs[:-1], pair))
    parts["atlas.npz"] = changed.pack(tmp_path / "changed.npz", side=atlas.side).read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(RecipeError, match=f"holds the held-out {pair[0]}"):
        load_world(tiny("unused", f"world={path}"))


def test_a_run_does_not_go_on_with_other_sources(tmp_path: Path) -> None:
    trainer = Trainer(tiny(tmp_path, "retrieval.images=0", "instruct.images=0"))
    trainer.sheet = lambda: None
    trainer.run()
    for setting, cause in (
        ("sources=emoji", r"sources: \['emoji', 'faces'\], now \['emoji'\]"),
        ("people=3", "people: 2, now 3"),
    ):
        with pytest.raises(CheckpointError, match=cause):
            Trainer(tiny(tmp_path, "retrieval.images=0", "instruct.images=0", setting))


def test_a_setting_that_is_new_is_at_its_default() -> None:
    """Also one with several values, which is a tuple here and a list in a file."""
    now = json.loads(json.dumps({"stages": [], "categories": []}))
    assert incompatible_settings({"stages": []}, now) == ""


def test_a_run_does_not_go_on_without_a_source_that_it_drew_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings are the same; what is installed is not."""
    settings = ("retrieval.images=0", "instruct.images=0")
    trainer = Trainer(tiny(tmp_path / "run", *settings))
    trainer.sheet = lambda: None
    trainer.run()
    Trainer(tiny(tmp_path / "run", *settings))
    monkeypatch.setattr(registry.faces.DiceBear, "read", unavailable)
    with pytest.raises(CheckpointError, match="begun with other drawings than this machine has"):
        Trainer(tiny(tmp_path / "run", *settings))


def unavailable(_: object) -> None:
    raise registry.WorldUnavailable("npm is not on the path")


def test_a_run_of_ten_sets_does_not_go_on_with_eleven(tmp_path: Path) -> None:
    """Begun before there were sources to choose from, and before drawings were noted."""
    config = tiny(tmp_path / "run", "sources=emoji")
    now = resolved(config)
    old = {name: value for name, value in now.items() if name != "sources"}
    usual = resolved(tiny(tmp_path / "run"))
    assert incompatible_settings(old, usual) == "sources: ['emoji'], now ['emoji', 'faces']"
    assert incompatible_settings(old, now) == ""
    found = {"vocabulary": "f" * 64}
    with pytest.raises(CheckpointError, match="begun with other drawings"):
        check_contents({"config": old}, found, config)
    check_contents({"config": now}, found, config)
    with pytest.raises(CheckpointError, match="begun with other drawings"):
        check_contents({"config": now, "vocabulary": "e" * 64}, found, config)


def test_training_leaves_out_what_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = {**SOURCES, "stamps": Stamps(folder=tmp_path / "none")}
    monkeypatch.setattr(registry, "SOURCES", missing)
    vocabulary = build.recipe_vocabulary(tiny("unused", "sources=emoji,stamps"))
    assert vocabulary.pairs == build.recipe_vocabulary(tiny("unused")).pairs
    assert capsys.readouterr().err.count("apt install tuxpaint-stamps-default") == 1


def test_without_npm_there_is_no_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emoji alone are enough, and they must be there."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(registry.WorldUnavailable, match="npm is not on the path"):
        registry.read_source("emoji")
