"""ImagenHub's benchmarks, as its runs leave them on disk (Ku et al. 2023).

A run writes ``dataset_lookup.json`` (name of a picture → texts of the sample), ``input/<name>``
with what the model is given, and for masked editing ``mask/<name>``, white where the picture may
change. Which benchmark it is, is told by the texts that the samples have.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instruct_imagen.data.tasks.base import marker
from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.suites.folder import IMAGES
from instruct_imagen.images import load_image

LOOKUP = "dataset_lookup.json"
TOKEN = "<token>"
"""Stands before the subject in the prompts of subject-driven generation."""

_CONTROLS = {"canny": "edge", "hed": "edge", "depth": "depth"}
"""Kinds of controls that are conditions of ours; ``openpose`` and ``grayscale`` are none."""

_CONTROL_TEXTS = {"edge": "edge map", "depth": "depth map"}


@dataclass(frozen=True)
class _Sample:
    """A sample of the list, and where its pictures are."""

    name: str
    texts: Mapping[str, str]
    folder: Path

    def picture(self, kind: str) -> bytes:
        """The file of a folder of pictures, here or beside this run's folder.

        Raises:
            EvaluationError: There is none.
        """
        for place in (self.folder / kind, self.folder.parent / kind):
            if (place / self.name).is_file():
                return (place / self.name).read_bytes()
        raise EvaluationError(
            f"{self.folder / kind / self.name} is missing: take the whole folder of one run"
        )


_Part = tuple[int, str, str, bytes]  # marker, text, role, file
_Made = tuple[str, str, str, list[_Part]]  # group, text, prompt, references
_Maker = Callable[[_Sample], _Made]


def imagenhub(folder: Path) -> tuple[list[dict[str, Any]], dict[str, bytes], list[str]]:
    """Cases, images and notes of a run's folder; seeds are not in them yet.

    Raises:
        EvaluationError: The folder is no such folder.
    """
    samples = _samples(folder)
    cases, images, left_out = [], {}, Counter[str]()
    for sample in samples:
        maker = _maker(sample)
        control = sample.texts.get("control_type", "")
        if control and control not in _CONTROLS:
            left_out[control] += 1
            continue
        group, text, prompt, parts = maker(sample)
        key = Path(sample.name).stem
        references = []
        for number, (mark, words, role, content) in enumerate(parts):
            name = f"{IMAGES}/{key}-{number}{_suffix(content)}"
            images[name] = content
            references.append({"marker": mark, "text": words, "role": role, "image": name})
        cases.append(
            {
                "id": f"{group}/{key}",
                "group": group,
                "text": text,
                "references": references,
                "prompt": prompt,
                "conditions": _conditions(parts),
            }
        )
    notes = [
        f"{count} samples are left out: their control is {kind}, which is no condition of ours"
        for kind, count in left_out.items()
    ]
    return cases, images, notes


def _samples(folder: Path) -> list[_Sample]:
    path = folder / LOOKUP
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EvaluationError(
            f"{path}: {error.strerror}; name the folder of one ImagenHub run, with {LOOKUP} and "
            "input/"
        ) from error
    except ValueError as error:
        raise EvaluationError(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise EvaluationError(f"{path} must map names of pictures to the texts of a sample")
    for name in found:
        if Path(name).name != name:
            raise EvaluationError(f"{path}: {name!r} must be a file name without folders")
    return [
        _Sample(name, {key: str(value) for key, value in texts.items()}, folder)
        for name, texts in found.items()
    ]


def _maker(sample: _Sample) -> _Maker:
    """Of its benchmark."""
    for keys, maker in _MAKERS:
        if keys <= set(sample.texts):
            return maker
    raise EvaluationError(
        f"{sample.name} has {', '.join(sample.texts)}, which no benchmark of ImagenHub that we "
        "read has (text to image, control, editing, masked editing, subject, two subjects)"
    )


def _conditions(parts: list[_Part]) -> list[dict[str, Any]]:
    """As for the starter world: what the references show, and the words; a mask is none."""
    roles = [role for _, _, role, _ in parts if role != "mask"]
    found: list[dict[str, Any]] = []
    for mark, _, role, _ in parts:
        if role == "mask":
            continue
        name = role if roles.count(role) == 1 else f"{role} {mark}"
        found.append({"name": name, "kind": role, "marker": mark})
    words = "edit" if "source" in roles else "text"
    return [*found, {"name": words, "kind": words}]


def _text_to_image(sample: _Sample) -> _Made:
    prompt = sample.texts["prompt"]
    return "text_to_image", prompt, prompt, []


def _control(sample: _Sample) -> _Made:
    role, prompt = _CONTROLS[sample.texts["control_type"]], sample.texts["text"]
    words = _CONTROL_TEXTS[role]
    parts = [(1, words, role, sample.picture("input"))]
    return f"{role}_to_image", f"{prompt}, after the {words} {marker(1)}", prompt, parts


def _edit(sample: _Sample) -> _Made:
    instruction, prompt = sample.texts["instruction"], sample.texts["target_global_caption"]
    parts = [(1, "source image", "source", sample.picture("input"))]
    return "instruction_edit", f"Edit {marker(1)}: {instruction}", prompt, parts


def _masked_edit(sample: _Sample) -> _Made:
    instruction, prompt = sample.texts["instruction"], sample.texts["target_local_caption"]
    parts = [
        (1, "source image", "source", sample.picture("input")),
        (2, "mask", "mask", sample.picture("mask")),
    ]
    text = f"Edit {marker(1)} in the white area of {marker(2)}: {instruction}"
    return "masked_edit", text, prompt, parts


def _subject(sample: _Sample) -> _Made:
    asked, name = sample.texts["prompt"], _spoken(sample.texts["subject"])
    prompt = " ".join(asked.replace(TOKEN, "").split())
    text = " ".join(asked.replace(TOKEN, f" {marker(1)} ").split())
    if TOKEN not in asked:
        text = f"{marker(1)} {name}: {prompt}"
    return "subject", text, prompt, [(1, name, "subject", sample.picture("input"))]


def _two_subjects(sample: _Sample) -> _Made:
    """Both are in one picture side by side, which is cut in the middle."""
    prompt = sample.texts["prompt"]
    names = [sample.texts["concept1"], sample.texts["concept2"]]
    image = load_image(io.BytesIO(sample.picture("input")))
    middle = image.width // 2
    halves = ((0, 0, middle, image.height), (middle, 0, image.width, image.height))
    parts, text = [], prompt
    for number, (name, box) in enumerate(zip(names, halves, strict=True), start=1):
        buffer = io.BytesIO()
        image.crop(box).save(buffer, "PNG")
        parts.append((number, name, "subject", buffer.getvalue()))
        if name not in text:
            text = f"{marker(number)} {name}; {text}"
        else:
            text = text.replace(name, f"{marker(number)} {name}", 1)
    return "multi_subject", text, prompt, parts


def _spoken(subject: str) -> str:
    """The name of a subject in words: ``"dog6"`` → ``"dog"``."""
    return "".join(one for one in subject.replace("_", " ") if not one.isdigit()).strip()


def _suffix(content: bytes) -> str:
    return ".png" if content.startswith(b"\x89PNG") else ".jpg"


_MAKERS: tuple[tuple[set[str], _Maker], ...] = (
    ({"prompt", "concept1", "concept2"}, _two_subjects),
    ({"prompt", "subject"}, _subject),
    ({"text", "control_type"}, _control),
    ({"instruction", "target_global_caption"}, _edit),
    ({"instruction", "target_local_caption"}, _masked_edit),
    ({"prompt"}, _text_to_image),
)
"""Texts that a sample has → what makes its case; the first that fits."""
