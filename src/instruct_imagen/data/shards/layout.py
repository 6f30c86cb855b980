"""What lies in a shard: an example as a few members of a tar that WebDataset can read, too.

The example with index 17 is ``000000017.json``, ``000000017.ref1.png``, … and
``000000017.target.png``, in this order. Nothing in a tar depends on who wrote it, or when.

Drawn pictures are PNG, so a shard holds the very pixels that training from the world sees. A layout
must be exact: JPEG blurs an edge map of one pixel's width and makes grey of a mask's white. Where
a reference is in parts the target itself (its content, or the source of an edit), both must agree
in every pixel. And flat artwork is not larger as PNG (docs/log.md). References that are photographs
are JPEG: as PNG they would be several times larger, and most of them were JPEG before.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import secrets
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from instruct_imagen.data.corpora.records import StoredImage
from instruct_imagen.data.corpora.tars import Sample

FORMAT = "instruct-imagen shards 1"
MANIFEST = "manifest.json"
DRAFTS = ".*.tmp"
"""What unfinished files are called."""

TARGET = "target.png"
MAX_REFERENCES = 99
EXTENSIONS = frozenset(
    ("json", TARGET, *(f"ref{k}.{e}" for k in range(1, MAX_REFERENCES + 1) for e in ("png", "jpg")))
)

_PNG_LEVEL = 1  # three quarters of the time of Pillow's usual 6, for 7% more bytes (docs/log.md)
_JPEG = {"quality": 95, "subsampling": 0}
_JPEG_START = b"\xff\xd8"
_CHUNK = 2**20
_SHARD = re.compile(r"[0-9]{5,}\.tar")  # a plain name: a manifest leads nowhere else


class ShardError(ValueError):
    """Shards that cannot be written or read; one line that names the place and the cure."""


@dataclass(frozen=True, kw_only=True)
class StoredReference:
    """One reference of an example; see `data.example.ExampleReference`."""

    marker: int
    text: str
    role: str | None
    image: StoredImage


@dataclass(frozen=True, kw_only=True)
class StoredExample:
    """An example whose pictures are encoded; see `data.example.Example`.

    Attributes:
        index: Its number in the stream that the shards were built from.
        task: The family that it belongs to.
        text: Payload text with markers.
        caption: The plain words for the target; may be empty.
        references: The multi-modal context, in order.
        target: The picture to be generated.
        size: Side of all pictures in pixels.
    """

    index: int
    task: str
    text: str
    caption: str
    references: tuple[StoredReference, ...]
    target: StoredImage
    size: int

    @property
    def key(self) -> str:
        """What the names of its members begin with."""
        return key_of(self.index)


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """What the manifest says of one shard."""

    file: str
    examples: int
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a folder of shards is; written when all of them are.

    Attributes:
        settings: What the examples are a function of.
        sources: Per style, or for photographs: where they come from, and their licence.
        shards: In order.
    """

    settings: Mapping[str, Any]
    sources: Mapping[str, Mapping[str, str]]
    shards: tuple[ShardEntry, ...]

    @property
    def examples(self) -> int:
        """Of all shards together."""
        return sum(shard.examples for shard in self.shards)


def key_of(index: int) -> str:
    """Nine digits, so that names sort as indices do."""
    return f"{index:09d}"


def shard_name(number: int) -> str:
    """``00000.tar`` and so on."""
    return f"{number:05d}.tar"


def encode_picture(pixels: np.ndarray, *, grey: bool = False, lossy: bool = False) -> bytes:
    """A picture as a file, the same bytes for the same pixels and the same version of Pillow.

    Args:
        pixels: (3, size, size) uint8, RGB.
        grey: The channels are equal, and one of them is stored.
        lossy: JPEG of quality 95 without subsampling, instead of PNG.
    """
    image = Image.fromarray(
        np.ascontiguousarray(pixels[0]) if grey else np.ascontiguousarray(pixels.transpose(1, 2, 0))
    )
    buffer = io.BytesIO()
    if lossy:
        image.save(buffer, "JPEG", **_JPEG)
    else:
        image.save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()


def examples_hash(examples: Iterable[StoredExample]) -> str:
    """A SHA-256 of all members of some examples, which tells whether code makes them alike."""
    digest = hashlib.sha256()
    for example in examples:
        for name, content in members_of(example):
            digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def members_of(example: StoredExample) -> Iterator[tuple[str, bytes]]:
    """Names and contents of an example's members, in their order."""
    files = [
        f"ref{place}.{'jpg' if reference.image.data.startswith(_JPEG_START) else 'png'}"
        for place, reference in enumerate(example.references, start=1)
    ]
    about = {
        "index": example.index,
        "task": example.task,
        "text": example.text,
        "caption": example.caption,
        "size": example.size,
        "references": [
            {"marker": one.marker, "text": one.text, "role": one.role, "file": file}
            for one, file in zip(example.references, files, strict=True)
        ],
    }
    yield f"{example.key}.json", json.dumps(about, ensure_ascii=False).encode()
    for file, reference in zip(files, example.references, strict=True):
        yield f"{example.key}.{file}", reference.image.data
    yield f"{example.key}.{TARGET}", example.target.data


def write_tar(path: Path, examples: Iterable[StoredExample]) -> None:
    """Writes a tar and waits until the disk has it; equal examples give equal bytes."""
    with path.open("wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for example in examples:
                for name, content in members_of(example):
                    member = tarfile.TarInfo(name)  # mode 0644, no owner, no time
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
                tar.members.clear()  # it would keep the headers of all that it has written
        file.flush()
        os.fsync(file.fileno())


def draft_of(path: Path) -> Path:
    """A name beside `path` that nobody else writes to, and that `DRAFTS` finds."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def write_whole(path: Path, text: str) -> None:
    """Writes a text file that appears whole or not at all, even if the machine stops."""
    draft = draft_of(path)
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Waits until the disk has the folder's names."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """Of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def example_of(sample: Sample) -> StoredExample:
    """The example of a sample of `EXTENSIONS`; pictures are not decoded.

    Raises:
        ShardError: A member is missing, or its JSON is not what `members_of` writes.
    """
    place, files = sample.place, sample.files
    about = _json_of(sample)
    references = []
    for number, one in enumerate(_value(about, "references", list, place), start=1):
        if not isinstance(one, dict):
            raise ShardError(f"{place}.json: reference {number} is no object")
        file = _value(one, "file", str, place)
        if file not in files or not file.startswith("ref"):
            raise ShardError(f"{place}.{file} is missing, which the example refers to")
        role = one.get("role")
        if role is not None and not isinstance(role, str):
            raise ShardError(f"{place}.json: role must be a text or null, not {role!r}")
        references.append(
            StoredReference(
                marker=_value(one, "marker", int, place),
                text=_value(one, "text", str, place),
                role=role,
                image=StoredImage(data=files[file], name=f"{place}.{file}"),
            )
        )
    if TARGET not in files:
        raise ShardError(f"{place}.{TARGET} is missing")
    found = StoredExample(
        index=_value(about, "index", int, place),
        task=_value(about, "task", str, place),
        text=_value(about, "text", str, place),
        caption=_value(about, "caption", str, place),
        references=tuple(references),
        target=StoredImage(data=files[TARGET], name=f"{place}.{TARGET}"),
        size=_value(about, "size", int, place),
    )
    if found.key != place.rpartition("/")[2]:
        raise ShardError(f"{place}.json: index {found.index} is not that of its name")
    return found


def _json_of(sample: Sample) -> dict[str, Any]:
    if "json" not in sample.files:
        raise ShardError(f"{sample.place}.json is missing")
    try:
        about = json.loads(sample.files["json"])
    except (ValueError, RecursionError) as error:
        raise ShardError(f"{sample.place}.json is no JSON ({error})") from error
    if not isinstance(about, dict):
        raise ShardError(f"{sample.place}.json is no object")
    return about


def _value(about: Mapping[str, Any], name: str, kind: type, place: str) -> Any:
    value = about.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ShardError(f"{place}.json: {name} must be of type {kind.__name__}, not {value!r}")
    return value


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes what makes a folder of shards complete."""
    about = {
        "format": FORMAT,
        "settings": manifest.settings,
        "sources": manifest.sources,
        "examples": manifest.examples,
        "shards": [vars(shard) for shard in manifest.shards],
    }
    write_whole(folder / MANIFEST, json.dumps(about, indent=1, ensure_ascii=False) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Reads what `write_manifest` wrote.

    Raises:
        ShardError: There is none, as of an unfinished build, or it is another file.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise ShardError(
            f"{folder} is no folder: name one that `tasks build` or `clusters write` made"
        )
    if not path.is_file():
        raise ShardError(f"{folder} has no {MANIFEST}: run `tasks build` to its end, and it has")
    try:
        about = json.loads(path.read_bytes())
        if about["format"] != FORMAT:
            raise ShardError(f"{path} has the format {about['format']!r}, not {FORMAT!r}")
        shards = tuple(ShardEntry(**shard) for shard in about["shards"])
        for shard in shards:
            if not _SHARD.fullmatch(shard.file) or shard.examples < 1:
                raise ValueError(f"{shard.examples} examples in {shard.file!r}")
        return Manifest(settings=about["settings"], sources=about["sources"], shards=shards)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ShardError):
            raise
        raise ShardError(
            f"{path} is not what `tasks build` wrote ({error}): delete it and build again"
        ) from error
