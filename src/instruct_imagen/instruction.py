"""The multi-modal instruction: payload text with markers, and the references that they name.

[Hu24] §2: an instruction is a *payload text* that states the task in natural language with
markers ``[ref#1]``, ``[ref#2]``, …, and a *multi-modal context*, an ordered set of pairs
(marker + short text, image). Several references may share a marker (pictures of one subject).

This module knows nothing of models. It never decodes an image (`instruct_imagen.images` does), it
only carries one: a path, a PIL image or a numpy array.

    >>> Instruction.from_dict({
    ...     "text": "Draw the [ref#1] dog in the style of [ref#2]: a dog on a beach",
    ...     "references": [
    ...         {"ref": 1, "text": "dog", "image": "dog.png", "role": "subject"},
    ...         {"ref": 2, "text": "style image", "image": "style.png", "role": "style"},
    ...     ],
    ... }).markers
    (1, 2)
"""

from __future__ import annotations

import difflib
import json
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from instruct_imagen.instruction_errors import InstructionError, is_unicode, one_line, short
from instruct_imagen.reference_image import (
    ReferenceImage,
    check_file,
    checked_image,
    image_key,
    is_address,
    save_beside,
    write_whole,
    written_path,
)

Role = Literal["subject", "style", "edge", "sketch", "depth", "mask", "face", "content", "source"]

LAYOUTS: frozenset[str] = frozenset({"edge", "sketch", "depth", "mask"})
"""Roles of references that show where things are and not how they look."""
"""What a reference is used for."""

ROLES: tuple[str, ...] = get_args(Role)

MAX_MARKER = 9999
"""The highest k that ``[ref#k]`` can be written with; models take far fewer."""

_MARKER = re.compile(r"\[ref#([1-9][0-9]{0,3})\]")
# What looks like an attempt at a marker once the real ones are gone: a bracket before "ref #",
# "ref#" anywhere, or "ref" and a number in brackets. "[reference]" and "ref 3" are just words.
_NEAR_MISS = re.compile(
    r"""  [\[({<] \s* ref(?:erence)? \s* [#＃] \s* [^\s\])}>]* \s* [\])}>]?
        | \b ref(?:erence)?\# [^\s\])}>]* \s* [\])}>]?
        | [\[({<] \s* ref(?:erence)? [\s:_.-]* \d+ \s* [\])}>]""",
    re.IGNORECASE | re.VERBOSE,
)
_REFERENCE_KEYS = ("ref", "text", "image", "role")
_INSTRUCTION_KEYS = ("text", "references")


class UnmentionedReferenceWarning(UserWarning):
    """A reference whose marker the payload text never mentions ([Hu24] allows it)."""


def markers_in(text: str) -> tuple[int, ...]:
    """Finds the markers of a text.

    Args:
        text: Any text.

    Returns:
        k of each well-formed ``[ref#k]``, each once, in the order of first mention.
    """
    return tuple(dict.fromkeys(int(k) for k in _MARKER.findall(text)))


def without_markers(text: str) -> str:
    """A text without its markers and the spaces that they leave."""
    words = " ".join(_MARKER.sub(" ", text).split())
    return re.sub(r" (?=[.,:;?!])", "", words)


def marker_prompt(marker: int, text: str) -> str:
    """The text with which the encoder sees a reference, e.g. ``"[ref#1] dog"`` ([Hu24] §3.1).

    Marker 0 is none: the text alone.
    """
    return f"[ref#{marker}] {text}" if marker else text


def reference_prompt(reference: Reference) -> str:
    """`marker_prompt` of a reference."""
    return marker_prompt(reference.marker, reference.text)


@dataclass(frozen=True, eq=False)
class Reference:
    """One pair of the multi-modal context: a marker, a short text and an image.

    Two references are equal when their fields are; in-memory images are compared by content.

    Attributes:
        marker: k of ``[ref#k]``, from 1.
        image: A path, a PIL image, or a numpy array, uint8, (H, W, C) with C 1, 3 or 4. A path is
            kept absolute, so that it still holds when the working directory changes. Whether it
            can be read is asked by `Instruction.check`, not here.
        text: Short text without a marker, e.g. ``"dog"``, ``"style image"``, ``"edge map"``.
        role: What it is used for, or None.

    Raises:
        InstructionError: If a field is wrong.
    """

    marker: int
    image: ReferenceImage
    text: str
    role: Role | None = None

    def __post_init__(self) -> None:
        if isinstance(self.marker, bool) or not isinstance(self.marker, int):
            raise InstructionError(f"marker must be a whole number, not {self.marker!r}")
        if not 1 <= self.marker <= MAX_MARKER:
            raise InstructionError(
                f"marker {self.marker} cannot be used; markers count from 1 to {MAX_MARKER}"
            )
        _check_text(self.text, "text")
        if _MARKER.search(self.text) or _NEAR_MISS.search(self.text):
            raise InstructionError(
                f"text {short(self.text)} must not hold a marker; the marker is put before it"
            )
        if self.role is not None and self.role not in ROLES:
            raise InstructionError(
                f"unknown role {self.role!r}{_did_you_mean(self.role, ROLES)}; "
                f"use one of {', '.join(ROLES)}, or leave it out"
            )
        object.__setattr__(self, "image", checked_image(self.image))

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Reference) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return (self.marker, self.text, self.role, image_key(self.image))

    def __str__(self) -> str:
        return reference_prompt(self)


@dataclass(frozen=True)
class Instruction:
    """Payload text and the references that its markers name.

    Attributes:
        text: What to do, in natural language, with markers ``[ref#k]``.
        references: The multi-modal context, in order; any iterable is kept as a tuple.

    Raises:
        InstructionError: If the text is empty, a marker is malformed or has no reference.
    """

    text: str
    references: tuple[Reference, ...] = ()

    def __post_init__(self) -> None:
        references = self.references
        if isinstance(references, (str, bytes, Mapping)) or not isinstance(references, Iterable):
            raise InstructionError(
                f"references must be a list of Reference, not {type(references).__name__}"
            )
        object.__setattr__(self, "references", tuple(references))
        self._check_structure()

    @property
    def markers(self) -> tuple[int, ...]:
        """The markers of the text, each once, in the order of first mention."""
        return markers_in(self.text)

    def check(self, max_marker: int | None = None, strict: bool = False) -> None:
        """Checks all that can be known without decoding an image.

        Args:
            max_marker: The highest marker that the model knows, or None for no limit.
            strict: Whether a reference that the text never mentions is an error.

        Raises:
            InstructionError: If the text is empty, a marker is malformed, has no reference or is
                higher than `max_marker`, an image file is missing or cannot be read, or (strict)
                a reference is never mentioned.

        Warns:
            UnmentionedReferenceWarning: Unless strict, if a reference is never mentioned.
        """
        self._check_structure()
        mentioned = self.markers
        unmentioned = []
        for place, reference in self._placed():
            if max_marker is not None and reference.marker > max_marker:
                raise InstructionError(
                    f"{place}: marker {reference.marker} is more than this model's maximum of "
                    f"{max_marker}; use [ref#1] to [ref#{max_marker}]"
                )
            if isinstance(reference.image, Path):
                check_file(reference.image, place)
            if reference.marker not in mentioned:
                message = (
                    f"{place}: the text never mentions [ref#{reference.marker}]; "
                    "write the marker where the reference is meant, or drop the reference"
                )
                if strict:
                    raise InstructionError(message)
                unmentioned.append(message)
        for message in unmentioned:
            warnings.warn(message, UnmentionedReferenceWarning, stacklevel=2)

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], folder: str | os.PathLike[str] = "."
    ) -> Instruction:
        """Builds an instruction from its JSON form.

        Args:
            data: ``{"text": …, "references": [{"ref": 1, "text": …, "image": …, "role": …}, …]}``;
                ``references`` and ``role`` may be left out, nothing else may be there.
            folder: What relative image paths are relative to.

        Raises:
            InstructionError: If the form or the instruction is wrong.
        """
        _check_keys(data, "instruction", _INSTRUCTION_KEYS, required=("text",))
        items = data.get("references", [])
        if not isinstance(items, (list, tuple)):
            raise InstructionError(f"references must be a list, not {type(items).__name__}")
        references = []
        for index, item in enumerate(items):
            place = f"references[{index}]"
            _check_keys(item, place, _REFERENCE_KEYS, required=("ref", "text", "image"))
            image = item["image"]
            if isinstance(image, str) and image and not is_address(image):
                image = os.path.join(folder, image)
            try:
                references.append(Reference(item["ref"], image, item["text"], item.get("role")))
            except InstructionError as error:
                raise InstructionError(f"{place}: {error}") from None
        return cls(data["text"], tuple(references))

    def to_dict(self, folder: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """The JSON form; the inverse of `from_dict` with the same folder.

        Args:
            folder: What image paths are written relative to; None writes absolute paths.

        Raises:
            InstructionError: If an image is in memory (`to_json` writes it to a file).
        """
        items = []
        for place, reference in self._placed():
            if not isinstance(reference.image, Path):
                raise InstructionError(
                    f"{place}: the image is in memory, which a dict cannot hold; use to_json, "
                    "which writes it as a PNG, or save it and give its path"
                )
            image = written_path(reference.image, folder)
            item = {"ref": reference.marker, "text": reference.text, "image": image}
            items.append(item if reference.role is None else {**item, "role": reference.role})
        return {"text": self.text, "references": items}

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> Instruction:
        """Reads an instruction file; image paths in it are relative to it.

        Raises:
            InstructionError: If the file cannot be read or is wrong; it names the file.
        """
        file = Path(path)
        try:
            data = json.loads(
                file.read_bytes().decode("utf-8-sig"), object_pairs_hook=_without_duplicates
            )
            return cls.from_dict(data, file.parent)
        except OSError as error:
            cause = f"cannot be read ({error.strerror or error}); give a readable JSON file"
        except InstructionError as error:
            cause = str(error)
        except (ValueError, RecursionError) as error:
            cause = f"is not a JSON instruction in UTF-8 ({error})"
        raise InstructionError(f"{file}: {cause}")

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Writes an instruction file, and beside it a PNG for each image that is in memory.

        PNG names hold the image's hash, so that no other picture is ever overwritten. Each file
        appears whole or not at all, the JSON last. `from_json` gives an equal instruction back,
        with paths in place of images in memory.

        Raises:
            InstructionError: If an in-memory image has a mode that PNG cannot hold.
            OSError: If a file cannot be written.
        """
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        saved = [
            reference
            if isinstance(reference.image, Path)
            else replace(
                reference, image=save_beside(file, reference.image, reference.marker, place)
            )
            for place, reference in self._placed()
        ]
        form = Instruction(self.text, tuple(saved)).to_dict(file.parent)
        text = json.dumps(form, ensure_ascii=False, indent=2)
        if not is_unicode(text):  # a file name of other bytes: POSIX allows it, UTF-8 does not
            text = json.dumps(form, indent=2)
        write_whole(file, (text + "\n").encode("utf-8"))

    def _placed(self) -> list[tuple[str, Reference]]:
        return [
            (f"references[{index}] ({one_line(str(reference))})", reference)
            for index, reference in enumerate(self.references)
        ]

    def _check_structure(self) -> None:
        _check_text(self.text, "text")
        for index, reference in enumerate(self.references):
            if not isinstance(reference, Reference):
                raise InstructionError(
                    f"references[{index}] must be a Reference, not {type(reference).__name__}"
                )
        near_miss = _NEAR_MISS.search(_MARKER.sub(lambda m: " " * len(m[0]), self.text))
        if near_miss:
            raise InstructionError(_near_miss_message(near_miss))
        known = {reference.marker for reference in self.references}
        for marker in self.markers:
            if marker not in known:
                have = ", ".join(f"[ref#{k}]" for k in sorted(known)) or "none"
                raise InstructionError(
                    f"text mentions [ref#{marker}], but no reference has marker {marker} "
                    f"(there: {have}); add the reference or correct the marker"
                )


def _near_miss_message(found: re.Match[str]) -> str:
    """The error for what looks like a marker and is none."""
    digits = re.search(r"(?<![-0-9])[0-9]{1,9}(?![0-9])", found[0])
    number = int(digits[0]) if digits else None
    place = f"text has {short(found[0].strip())} at character {found.start()}"
    if number == 0:
        return f"{place}, but markers count from 1; write [ref#1] for the first reference"
    if number is not None and number <= MAX_MARKER:
        return f"{place}, which is not a marker; write [ref#{number}]"
    return f"{place}, which is not a marker; write [ref#k] with k from 1 to {MAX_MARKER}"


def _check_text(text: object, place: str) -> None:
    if not isinstance(text, str):
        raise InstructionError(f"{place} must be a string, not {type(text).__name__}")
    if not text.strip():
        raise InstructionError(f"{place} is empty; say in words what is wanted")
    if not is_unicode(text):
        raise InstructionError(f"{place} {short(text)} has broken Unicode (a lone surrogate)")


def _did_you_mean(word: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(word).lower(), known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _check_keys(
    data: object, place: str, known: tuple[str, ...], required: tuple[str, ...]
) -> None:
    if not isinstance(data, Mapping):
        raise InstructionError(f"{place} must be an object, not {type(data).__name__}")
    for key in data:
        if key not in known:
            raise InstructionError(
                f"{place} has the unknown key {key!r}{_did_you_mean(key, known)}; "
                f"known are {', '.join(known)}"
            )
    for key in required:
        if key not in data:
            raise InstructionError(f"{place} has no {key!r}; it needs {', '.join(required)}")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which each key stands once; Python's reader would keep the last silently."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InstructionError(f"the key {key!r} is there twice in one object; keep one")
        found[key] = value
    return found
