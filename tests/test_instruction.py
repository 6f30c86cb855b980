from __future__ import annotations

import ast
import json
import os
import warnings
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from PIL import Image

from instruct_imagen import instruction as module
from instruct_imagen.images import load_image
from instruct_imagen.instruction import (
    MAX_MARKER,
    ROLES,
    Instruction,
    InstructionError,
    Reference,
    UnmentionedReferenceWarning,
    markers_in,
    reference_prompt,
    without_markers,
)

DOG = Reference(1, "dog.png", "dog", "subject")
STYLE = Reference(2, "style.png", "style image", "style")
TEXT = "Draw the [ref#1] dog in the style of [ref#2]: a dog on a beach"


def write_image(path: Path, colour: tuple[int, int, int] = (200, 30, 40)) -> Path:
    Image.new("RGB", (4, 3), colour).save(path)
    return path


def error_of(call) -> str:
    with pytest.raises(InstructionError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


# -- Hypothesis strategies -------------------------------------------------------------------------

words = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1).filter(
    lambda text: text.strip() and "ref" not in text.lower()
)
file_names = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="/\\\0:"), min_size=1
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)
relative_paths = st.builds(
    lambda folders, name: os.path.join(*folders, name),
    st.lists(st.one_of(st.just(".."), file_names), max_size=3),
    file_names,
)
markers = st.integers(1, MAX_MARKER)
references = st.builds(
    Reference, markers, relative_paths, words, st.one_of(st.none(), st.sampled_from(ROLES))
)


@st.composite
def instructions(draw: st.DrawFn, images=relative_paths) -> Instruction:
    """A well-formed instruction: the text mentions some of the references' markers."""
    found = draw(
        st.lists(
            st.builds(Reference, markers, images, words, st.sampled_from((*ROLES, None))),
            max_size=4,
        )
    )
    parts = [draw(words)]
    for reference in found:
        if draw(st.booleans()):
            parts += [f"[ref#{reference.marker}]", draw(words)]
    return Instruction(" ".join(parts), tuple(found))


arrays = st.builds(
    lambda height, width, channels, seed: np.random.default_rng(seed).integers(
        0, 256, (height, width, channels), dtype=np.uint8
    ),
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from([1, 3, 4]),
    st.integers(0, 1000),
)


# -- Markers ---------------------------------------------------------------------------------------


def test_markers_are_found_in_order_and_once():
    assert markers_in("[ref#3] then [ref#1], [ref#3] again, [ref#12]") == (3, 1, 12)
    assert markers_in("no marker; [ref#0] [ref#x] [ref #1] [ref#01]") == ()


@given(st.lists(markers, max_size=6), words)
def test_every_marker_that_is_written_is_found(numbers, word):
    text = word + " ".join(f"[ref#{k}]{word}" for k in numbers)
    assert markers_in(text) == tuple(dict.fromkeys(numbers))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            "Draw the [ref#1] dog in the style of [ref#2]: a dog.",
            "Draw the dog in the style of: a dog.",
        ),
        ("[ref#1] [ref#12]", ""),
        ("[ref#1] a dog, flat style", "a dog, flat style"),
        ("A dog, as in [ref#3].", "A dog, as in."),
        ("a dog", "a dog"),
    ],
)
def test_a_text_without_its_markers_has_no_gaps(text, left):
    assert without_markers(text) == left


def test_reference_prompt_is_marker_and_text():
    assert reference_prompt(DOG) == "[ref#1] dog" == str(DOG)


@given(references)
def test_reference_prompt_holds_exactly_its_own_marker(reference):
    assert markers_in(reference_prompt(reference)) == (reference.marker,)


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("[ref#] x", "[ref#k] with k from 1"),
        ("[ref#x] x", "[ref#k] with k from 1"),
        ("[ref#-1]", "[ref#k] with k from 1"),
        ("[ref#１]", "[ref#k] with k from 1"),
        ("[ref#99999]", "[ref#k] with k from 1"),
        ("[ref#" + "9" * 5000 + "]", "[ref#k] with k from 1"),
        ("the [ref #1] dog", "write [ref#1]"),
        ("the [ref# 1] dog", "write [ref#1]"),
        ("the [Ref#1] dog", "write [ref#1]"),
        ("the [ref1] dog", "write [ref#1]"),
        ("the [ref: 1] dog", "write [ref#1]"),
        ("the (ref#1) dog", "write [ref#1]"),
        ("the [ref#01] dog", "write [ref#1]"),
        ("the [reference 1] dog", "write [ref#1]"),
        ("the [ref#1 dog", "write [ref#1]"),
        ("the ref#1 dog", "write [ref#1]"),
        ("[ref#0] dog", "markers count from 1"),
        ("[ref #0] dog", "markers count from 1"),
    ],
)
def test_a_malformed_marker_is_named_with_its_cure(text, cure):
    message = error_of(lambda: Instruction(text, (DOG,)))
    assert cure in message
    assert "character" in message


def test_ordinary_words_are_no_markers():
    text = "a [reference] book, ref 3, href#1, refs #2, a (refined) dog [1], [[ref#1]]"
    assert Instruction(text, (DOG,)).markers == (1,)


# -- Structure -------------------------------------------------------------------------------------


def test_a_marker_without_a_reference_is_an_error_that_lists_what_is_there():
    message = error_of(lambda: Instruction("[ref#1] on [ref#3]", (DOG, STYLE)))
    assert "[ref#3]" in message
    assert "there: [ref#1], [ref#2]" in message


@pytest.mark.parametrize("text", ["", "   \n", None, 3, "broken \ud800"])
def test_a_text_must_say_something(text):
    assert "text" in error_of(lambda: Instruction(text))
    assert "text" in error_of(lambda: Reference(1, "a.png", text))


def test_several_references_may_share_a_marker():
    twice = Instruction("the [ref#1] dog", (DOG, Reference(1, "dog2.png", "dog", "subject")))
    assert twice.markers == (1,)
    assert len(twice.references) == 2


@pytest.mark.parametrize("marker", [0, -1, MAX_MARKER + 1, True, 1.0, "1", None])
def test_a_reference_needs_a_marker_from_one(marker):
    assert "marker" in error_of(lambda: Reference(marker, "a.png", "dog"))


@pytest.mark.parametrize("text", ["[ref#1] dog", "[ref #1] dog"])
def test_a_reference_text_holds_no_marker(text):
    assert "must not hold a marker" in error_of(lambda: Reference(1, "a.png", text))


def test_an_unknown_role_gets_a_suggestion():
    assert "did you mean 'style'" in error_of(lambda: Reference(1, "a.png", "x", "stlye"))


@pytest.mark.parametrize(
    ("image", "part"),
    [
        ("", "names no file"),
        ("folder/..", "names no file"),
        ("https://example.org/dog.png", "is an address"),
        ("data:image/png;base64,AAAA", "is an address"),
        ("a\0b.png", "null character"),
        (b"dog.png", "must be a path"),
        (None, "must be a path"),
        (np.zeros((2, 2, 3), np.float32), "must be uint8"),
        (np.zeros((2, 2), np.uint8), "must be uint8 with shape"),
        (np.zeros((2, 2, 2), np.uint8), "must be uint8 with shape"),
        (np.zeros((0, 2, 3), np.uint8), "empty"),
    ],
)
def test_a_wrong_image_is_named(image, part):
    assert part in error_of(lambda: Reference(1, image, "dog"))


def test_references_are_a_tuple_of_references():
    assert Instruction("the [ref#1] dog", [DOG]).references == (DOG,)
    assert "references[0]" in error_of(lambda: Instruction("a dog", ({"ref": 1},)))
    assert "references" in error_of(lambda: Instruction("a dog", "dog.png"))
    assert "references" in error_of(lambda: Instruction("a dog", None))


def test_both_are_frozen():
    with pytest.raises(FrozenInstanceError):
        DOG.marker = 2
    with pytest.raises(FrozenInstanceError):
        Instruction("a dog").text = "a cat"


def test_equality_and_hash_follow_the_content():
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    image = Image.fromarray(pixels)
    assert Reference(1, pixels, "dog") == Reference(1, pixels.copy(), "dog")
    assert Reference(1, pixels, "dog") != Reference(1, pixels + 1, "dog")
    assert Reference(1, image, "dog") == Reference(1, image.copy(), "dog")
    assert Reference(1, image, "dog") != Reference(1, image.convert("L"), "dog")
    assert Reference(1, "a.png", "dog") == Reference(1, Path("b/../a.png"), "dog")
    assert len({Reference(1, pixels, "dog"), Reference(1, pixels.copy(), "dog")}) == 1
    assert Reference(1, "a.png", "dog") != "a.png"


def test_a_path_still_holds_when_the_working_directory_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "dog.png")
    there = Instruction("the [ref#1] dog", (Reference(1, "dog.png", "dog"),))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    there.check()


# -- check -----------------------------------------------------------------------------------------


@pytest.fixture
def complete(tmp_path: Path) -> Instruction:
    return Instruction(
        TEXT,
        (
            Reference(1, write_image(tmp_path / "dog.png"), "dog", "subject"),
            Reference(2, write_image(tmp_path / "style.png"), "style image", "style"),
        ),
    )


def test_a_complete_instruction_passes_silently(complete):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        complete.check(max_marker=2, strict=True)
        complete.check()


def test_more_than_the_models_maximum_names_reference_and_maximum(complete):
    message = error_of(lambda: complete.check(max_marker=1))
    assert message.startswith("references[1] ([ref#2] style image): marker 2")
    assert "maximum of 1" in message


def test_an_unmentioned_reference_warns_and_strictly_is_an_error(complete):
    quiet = Instruction("the [ref#1] dog", complete.references)
    with pytest.warns(UnmentionedReferenceWarning, match=r"references\[1\].*\[ref#2\]") as found:
        quiet.check()
    assert found[0].filename == __file__
    assert "[ref#2]" in error_of(lambda: quiet.check(strict=True))


def test_a_missing_empty_or_unreadable_image_is_named(tmp_path):
    (tmp_path / "empty.png").touch()
    for name, cause in [
        ("missing.png", "does not exist"),
        ("no/folder.png", "does not exist"),
        ("empty.png", "is empty"),
        (".", "is a folder"),
        ("empty.png/a.png", "cannot be read"),
    ]:
        reference = Reference(1, (tmp_path / name).absolute(), "dog")
        message = error_of(Instruction("the [ref#1] dog", (reference,)).check)
        assert cause in message
        assert str(tmp_path) in message
        assert "references[0]" in message


def test_a_text_of_several_lines_still_gives_an_error_of_one_line(tmp_path):
    reference = Reference(1, tmp_path / "missing.png", "a\nvery " * 40)
    error_of(Instruction("the [ref#1]\ndog", (reference,)).check)


# -- JSON ------------------------------------------------------------------------------------------


def test_the_documented_form_is_read(tmp_path):
    form = {
        "text": TEXT,
        "references": [
            {"ref": 1, "text": "dog", "image": "dog.png", "role": "subject"},
            {"ref": 2, "text": "style image", "image": "style.png", "role": "style"},
        ],
    }
    file = tmp_path / "case.json"
    file.write_text(json.dumps(form))
    read = Instruction.from_json(file)
    assert read.text == TEXT
    assert read.references[0] == Reference(1, tmp_path / "dog.png", "dog", "subject")
    assert read.to_dict(tmp_path) == form
    read.to_json(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == form


@given(instructions())
@example(Instruction("[ref#1]", (Reference(1, "data:a.png", "d"),)))
@example(Instruction("a\r\n[ref#1]\u2028", (Reference(1, "\udcff.png", "d\t"),)))
def test_round_trip_of_paths_is_exact(tmp_path, instruction):
    file = tmp_path / "folder" / "case.json"
    instruction.to_json(file)
    read = Instruction.from_json(file)
    assert read == instruction
    assert hash(read) == hash(instruction)
    first = file.read_bytes()
    read.to_json(file)
    assert file.read_bytes() == first
    assert Instruction.from_dict(instruction.to_dict()) == instruction
    assert Instruction.from_dict(instruction.to_dict(tmp_path), tmp_path) == instruction
    assert [p.name for p in file.parent.iterdir()] == ["case.json"]


@given(instructions(images=arrays))
def test_images_in_memory_are_written_beside_the_file_and_keep_every_pixel(tmp_path, instruction):
    file = tmp_path / "case.json"
    instruction.to_json(file)
    read = Instruction.from_json(file)
    assert read.text == instruction.text
    assert len(read.references) == len(instruction.references)
    for before, after in zip(instruction.references, read.references, strict=True):
        assert (before.marker, before.text, before.role) == (after.marker, after.text, after.role)
        assert after.image.parent == Path(os.path.realpath(tmp_path))
        with Image.open(after.image) as image:
            pixels = np.asarray(image).reshape(before.image.shape)
        assert np.array_equal(pixels, before.image)
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_pil_images_survive_the_round_trip(tmp_path, mode):
    image = Image.linear_gradient("L").resize((8, 8))
    image = Image.new(mode, (8, 8), 300) if mode == "I;16" else image.convert(mode)
    if mode == "P":
        image.info["transparency"] = 0
    Instruction("[ref#1]", (Reference(1, image, "dog"),)).to_json(tmp_path / "a.json")
    (read,) = Instruction.from_json(tmp_path / "a.json").references
    for keep_alpha in (False, True):
        assert load_image(read.image, keep_alpha=keep_alpha) == load_image(
            image, keep_alpha=keep_alpha
        )


def test_orientation_survives_the_round_trip(tmp_path):
    image = Image.new("RGB", (8, 4), "red")
    image.getexif()[0x0112] = 6
    Instruction("[ref#1]", (Reference(1, image, "dog"),)).to_json(tmp_path / "a.json")
    (read,) = Instruction.from_json(tmp_path / "a.json").references
    assert load_image(read.image).size == load_image(image).size == (4, 8)


def test_a_mode_that_png_cannot_hold_is_named(tmp_path):
    reference = Reference(1, Image.new("CMYK", (2, 2)), "dog")
    message = error_of(lambda: Instruction("[ref#1]", (reference,)).to_json(tmp_path / "a.json"))
    assert "'CMYK'" in message
    assert "convert('RGB')" in message
    assert list(tmp_path.iterdir()) == []


def test_no_other_picture_is_overwritten(tmp_path):
    red, blue = (np.full((2, 2, 3), value, np.uint8) for value in (200, 90))
    file = tmp_path / "a.json"
    Instruction("[ref#1]", (Reference(1, red, "dog"),)).to_json(file)
    (first,) = Instruction.from_json(file).references
    before = first.image.read_bytes()
    Instruction("[ref#1]", (Reference(1, blue, "dog"), first)).to_json(file)
    assert first.image.read_bytes() == before
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_a_dict_holds_no_image_in_memory():
    reference = Reference(1, np.zeros((2, 2, 3), np.uint8), "dog")
    assert "to_json" in error_of(lambda: Instruction("[ref#1]", (reference,)).to_dict())


def test_a_folder_behind_a_link_does_not_mislead(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    write_image(tmp_path / "dog.png")
    link = tmp_path / "link"
    try:
        link.symlink_to(tmp_path / "deep" / "er", target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    instruction = Instruction("[ref#1]", (Reference(1, tmp_path / "dog.png", "dog"),))
    instruction.to_json(link / "a.json")
    for file in (link / "a.json", tmp_path / "deep" / "er" / "a.json"):
        assert Instruction.from_json(file) == instruction
        Instruction.from_json(file).check()


def test_text_stays_readable_in_the_file(tmp_path):
    Instruction("ein Hund läuft 🐕").to_json(tmp_path / "a.json")
    assert "läuft 🐕" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_a_byte_order_mark_is_accepted(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + b'{"text": "a dog"}')
    assert Instruction.from_json(tmp_path / "a.json") == Instruction("a dog")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("{", ["not a JSON", "line 1"]),
        ("[]", ["must be an object"]),
        ('"text"', ["must be an object"]),
        ("[" * 100_000, ["not a JSON"]),
        ('{"references": []}', ["no 'text'"]),
        ('{"text": ""}', ["text is empty"]),
        ('{"text": "a", "text": "b"}', ["'text'", "twice"]),
        ('{"text": "a", "reference": []}', ["unknown key 'reference'", "'references'"]),
        ('{"text": "a", "references": {}}', ["references must be a list"]),
        ('{"text": "a", "references": [3]}', ["references[0]", "must be an object"]),
        ('{"text": "a", "references": [{}]}', ["references[0] has no 'ref'"]),
        (
            '{"text": "a", "references": [{"ref": 1, "text": "d", "image": "d.png", "kind": 1}]}',
            ["references[0]", "unknown key 'kind'"],
        ),
        (
            '{"text": "a", "references": [{"ref": 0, "text": "d", "image": "d.png"}]}',
            ["references[0]: marker 0", "from 1"],
        ),
        (
            '{"text": "a", "references": [{"ref": 1, "text": "d", "image": 3}]}',
            ["references[0]: image must be a path"],
        ),
        (
            '{"text": "a", "references": [{"ref": 1, "text": "d", "image": "d", "role": "x"}]}',
            ["references[0]: unknown role 'x'"],
        ),
        ('{"text": "[ref#1] a"}', ["[ref#1]", "no reference"]),
        (b"\xff\xfe", ["UTF-8"]),
    ],
)
def test_a_wrong_file_is_named_with_place_and_cure(tmp_path, content, parts):
    file = tmp_path / "wrong.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = error_of(lambda: Instruction.from_json(file))
    assert message.startswith(f"{file}: ")
    for part in parts:
        assert part in message


def test_a_missing_file_is_named(tmp_path):
    assert "missing.json" in error_of(lambda: Instruction.from_json(tmp_path / "missing.json"))
    assert "cannot be read" in error_of(lambda: Instruction.from_json(tmp_path))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
    | st.fixed_dictionaries(
        {"text": st.text()},
        optional={
            "references": st.lists(
                st.fixed_dictionaries(
                    {},
                    optional={
                        "ref": st.integers() | st.text(),
                        "text": st.text(),
                        "image": st.text() | st.none(),
                        "role": st.text() | st.none(),
                    },
                )
            )
        },
    )
)
def test_any_json_is_either_an_instruction_or_one_clear_line(data):
    try:
        read = Instruction.from_dict(data)
    except InstructionError as error:
        assert "\n" not in str(error)
    else:
        assert Instruction.from_dict(read.to_dict()) == read


@given(st.text(), st.lists(markers, max_size=3))
def test_any_text_is_either_accepted_whole_or_refused(text, numbers):
    found = tuple(Reference(k, "a.png", "dog") for k in numbers)
    assume(text.strip())
    try:
        assert Instruction(text, found).text == text
    except InstructionError as error:
        assert "\n" not in str(error)


# -- Weight ----------------------------------------------------------------------------------------


def test_the_module_imports_neither_torch_nor_pil():
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in tree.body
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & {"torch", "PIL", "diffusers", "transformers"}
