"""A user's own folder of images of one subject, decoded once at the size of a training."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from instruct_imagen.data.world.scenes import article
from instruct_imagen.images import load_image, to_square

FEWEST = 2
"""Images of a folder, at least: one is drawn, another is its reference."""


class PhotographError(ValueError):
    """A folder of images that cannot be trained on; the message names the file and the cure."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Photographs:
    """Images of one subject, in the order of their files' names.

    Attributes:
        subject: What they show, e.g. ``"clay dog"``.
        pixels: (N, 3, size, size) uint8, on the CPU.
        captions: N texts, e.g. ``"a clay dog on a table"``, without a full stop.
        sha256: Of the files' contents and the captions, in order; renamed files are the same.
    """

    subject: str
    pixels: Tensor
    captions: tuple[str, ...]
    sha256: str

    def __len__(self) -> int:
        """Count the images."""
        return len(self.captions)


def read_photographs(folder: Path, subject: str, size: int) -> Photographs:
    """Reads every image of a folder (not of folders in it).

    ``name.txt`` beside ``name.jpg`` is its caption; an image without one gets "a <subject>".
    Hidden files are passed over, anything else that is no image is refused: a photograph that is
    silently left out, or a caption, would be missed by nobody.

    Args:
        folder: Of the images, in any format that `images.load_image` reads.
        subject: What all of them show.
        size: Side in pixels; the largest centred square is kept.

    Raises:
        PhotographError: The folder, a caption or the number of images.
        ImageError: A file is no image, or a broken one.
    """
    _check_words(subject, f"subject={subject!r}")
    if not folder.is_dir():
        raise PhotographError(f"folder={folder} is no folder: name that of your images")
    visible = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    texts = {path.stem: path for path in visible if path.suffix.lower() == ".txt"}
    files = [path for path in visible if path.is_file() and path not in texts.values()]
    for path in texts.values():
        if path.stem not in {file.stem for file in files}:
            raise PhotographError(f"{path} is the caption of no image: rename or remove it")
    if len(files) < FEWEST:
        raise PhotographError(
            f"folder={folder} has {len(files)} images, at least {FEWEST} are needed: "
            "one is drawn with others as its references"
        )
    captions = tuple(
        _caption(texts[path.stem])
        if path.stem in texts
        else f"{article(subject.lower())} {subject}"
        for path in files
    )
    squares = [np.asarray(to_square(load_image(path), size, "crop")) for path in files]
    digest = hashlib.sha256()
    seen: dict[bytes, Path] = {}
    for path, square, caption in zip(files, squares, captions, strict=True):
        same = seen.setdefault(square.tobytes(), path)
        if same != path:
            raise PhotographError(f"{path} shows the same as {same.name}: remove one of them")
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{content} {caption}\n".encode())
    pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous()
    return Photographs(subject=subject, pixels=pixels, captions=captions, sha256=digest.hexdigest())


def _caption(path: Path) -> str:
    """The words of a caption's file, in one line, without the full stop that templates bring."""
    try:
        words = " ".join(path.read_text(encoding="utf-8").split()).rstrip(". ")
    except UnicodeDecodeError as error:
        raise PhotographError(f"{path} is not UTF-8 text ({error.reason}): save it anew") from error
    _check_words(words, str(path))
    first, space, rest = words.partition(" ")
    # Templates go on in the middle of a sentence, as the world's captions do.
    return first.lower() + space + rest if first in ("A", "An", "The", "Some", "One") else words


def _check_words(words: str, place: str) -> None:
    if not words.strip():
        raise PhotographError(f"{place} is empty: say what the images show, e.g. 'clay dog'")
    if any(sign in words for sign in "[]{}"):
        raise PhotographError(
            f"{place} has brackets, which markers and templates need: remove them"
        )
