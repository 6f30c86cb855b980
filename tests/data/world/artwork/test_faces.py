from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from instruct_imagen.data.world import sources
from instruct_imagen.data.world.artwork import faces as artwork
from instruct_imagen.data.world.artwork.faces import (
    FACE_STYLES,
    HELD_OUT_PEOPLE,
    PEOPLE,
    Faces,
    expressions,
    person_name,
    person_number,
    read_faces,
)
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.faces import heldout_faces, is_held_out, training_faces
from instruct_imagen.data.world.npm import CACHE_VARIABLE, WorldUnavailable
from instruct_imagen.data.world.scenes import STYLE_NAMES
from instruct_imagen.data.world.vocabulary import Face, VocabularyError

PEOPLE_FOLDER = Path(sources.__file__).parent / "people"
SEEN = 48  # pixels of a drawing at which people are told apart


@pytest.fixture(scope="module")
def drawn() -> Mapping[str, Faces]:
    """All people, drawn into the cache if they are not there yet."""
    return artwork.SOURCE.read()


def test_lock_pins_every_style_and_names_no_address() -> None:
    text = (PEOPLE_FOLDER / "package-lock.json").read_text()
    assert "resolved" not in text and "http" not in text
    packages = json.loads(text)["packages"]
    asked = json.loads((PEOPLE_FOLDER / "package.json").read_text())["dependencies"]
    used = json.loads((PEOPLE_FOLDER / "people.json").read_text())
    assert set(asked) == {"@dicebear/core", *(used[style]["package"] for style in FACE_STYLES)}
    for name, version in asked.items():
        locked = packages[f"node_modules/{name}"]
        assert locked["version"] == version and locked["integrity"].startswith("sha512-")


def test_everybody_has_every_expression(drawn: Mapping[str, Faces]) -> None:
    assert tuple(drawn) == FACE_STYLES and set(FACE_STYLES) <= set(STYLE_NAMES)
    people = [person_name(number) for number in (*PEOPLE, *HELD_OUT_PEOPLE)]
    for style, own in expressions().items():
        assert len(own) >= 5
        assert drawn[style].names() == {f"{person}-{shown}" for person in people for shown in own}


def test_each_style_names_its_author_and_a_licence_that_lets_us(
    drawn: Mapping[str, Faces],
) -> None:
    asked = json.loads((PEOPLE_FOLDER / "package.json").read_text())["dependencies"]
    for one in drawn.values():
        about = one.manifest()
        assert about["licence"] in {"CC BY 4.0", "CC0 1.0"}
        assert about["author"] and about["licence_url"].startswith("https://creativecommons.org/")
        assert about["version"] == asked[about["package"]]


@pytest.mark.parametrize("style", FACE_STYLES)
def test_expressions_change_little_and_people_much(drawn: Mapping[str, Faces], style: str) -> None:
    """The same person has one outline; another person has another."""
    shown = expressions()[style]

    def sprite(number: int, expression: str) -> np.ndarray:
        found = drawn[style].draw(f"{person_name(number)}-{expression}", SEEN)
        assert found is not None
        return found.astype(int)

    people = [[sprite(number, one) for one in shown] for number in (0, 7, 123, 399, 1042)]
    for own in people:
        for place, one in enumerate(own):
            for other in own[place + 1 :]:
                difference = np.abs(one - other).max(axis=0)
                # A face is a part of the drawing; hair, skin and clothes stay to the pixel.
                assert 0.005 < (difference > 48).mean() < 0.25
                assert np.abs(one[3] - other[3]).mean() < 1
    for place, own in enumerate(people):
        for other in people[place + 1 :]:
            within = max(np.abs(own[0] - one).mean() for one in own)
            assert np.abs(own[0] - other[0]).mean() > within


@pytest.mark.parametrize("style", FACE_STYLES)
def test_nobody_is_drawn_as_somebody_else(drawn: Mapping[str, Faces], style: str) -> None:
    documents = drawn[style]._drawings
    first = expressions()[style][0]
    looks = [documents[f"{person_name(n)}-{first}"] for n in (*PEOPLE, *HELD_OUT_PEOPLE)]
    assert len(set(looks)) == len(looks)


def test_training_faces_are_never_held_out() -> None:
    everybody = training_faces()
    assert len({face.person for face in everybody}) == len(PEOPLE) >= 400
    assert len({face.pair for face in everybody}) == len(everybody)
    held = heldout_faces()
    assert len({face.person for face in held}) == len(HELD_OUT_PEOPLE) == 100
    assert not {face.person for face in everybody} & {face.person for face in held}
    assert {person_number(face.person) for face in held} == set(range(1000, 1100))
    assert not any(is_held_out(face) for face in everybody)
    assert all(is_held_out(face) for face in held)
    assert is_held_out(Face(person="person-0400", expression="sad", style=FACE_STYLES[0]))


def test_some_people_of_some_styles() -> None:
    few = training_faces(people=3, styles=FACE_STYLES[:1])
    assert {face.person for face in few} == {"person-0000", "person-0001", "person-0002"}
    assert {face.style for face in few} == {FACE_STYLES[0]}
    assert set(few) <= set(training_faces())
    for wrong in (0, len(PEOPLE) + 1):
        with pytest.raises(VocabularyError, match=f"people={wrong} must be 1 to 400"):
            training_faces(people=wrong)
    with pytest.raises(VocabularyError, match="unknown styles"):
        heldout_faces(["noto"])


def test_names_of_people() -> None:
    assert person_number(person_name(42)) == 42
    for wrong in ("person", "person-", "person-x", "dog-0001"):
        with pytest.raises(ValueError, match="is no name of a person"):
            person_number(wrong)


def test_an_atlas_has_faces_whatever_their_frame(tmp_path: Path) -> None:
    """With drawings in the layout that the script writes."""
    folder = tmp_path / "faces"
    folder.mkdir()
    about = {
        "package": "@dicebear/some", "version": "1", "licence": "CC0 1.0", "licence_url": "l",
        "author": "a", "author_url": "u", "source": "s", "sha256": "0" * 64,
    }  # fmt: skip
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 100">'
        '<circle cx="150" cy="50" r="45" fill="#00f"/></svg>'
    )
    for style in FACE_STYLES:
        with gzip.open(folder / f"{style}.json.gz", "wt") as file:
            json.dump({"person-0000-smiling": svg}, file)
    (folder / "drawn.json").write_text(json.dumps(dict.fromkeys(FACE_STYLES, about)))
    found = read_faces(folder)
    face = Face(person="person-0000", expression="smiling", style=FACE_STYLES[1])
    atlas = Atlas.build([face.pair], sets=found, cache=tmp_path / "atlas")
    sprite = atlas.sprite(*face.pair)
    assert tuple(sprite[32, 32]) == (0, 0, 255, 255)
    assert (sprite[..., 3] > 127).mean() > 0.45  # the disc fills the square
    assert atlas.sources[FACE_STYLES[1]]["author"] == "a"
    (folder / "drawn.json").write_text("{}")
    with pytest.raises(WorldUnavailable, match="the faces are not whole"):
        read_faces(folder)


def test_without_node_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """npm is there, and the program that draws is not."""
    (tmp_path / "bin").mkdir()
    for name in ("sh", "mkdir"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or "")
    npm = tmp_path / "bin" / "npm"
    npm.write_text("#!/bin/sh\nmkdir node_modules\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    with pytest.raises(WorldUnavailable, match=r"node is not on the path.*install Node\.js"):
        artwork.SOURCE.read()
    assert not list((tmp_path / "cache" / "faces").iterdir())
