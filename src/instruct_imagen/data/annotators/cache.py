"""Annotations in a folder, by content: what was annotated once is read the next time.

An entry is a PNG with 32 bytes behind its end, the SHA-256 of its key and of the PNG. It can be
looked at like any PNG, and whatever damages it is noticed.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from instruct_imagen.data.annotators.base import Annotator, AnnotatorError, check_images

SUFFIX = ".png"
_DRAFT = ".tmp"
_DIGEST = hashlib.sha256().digest_size
_KEPT_SHARE = 0.9  # of the bound, after a clearing: not every new entry needs another
_LOOK_SHARE = 1 / 16  # of the bound, written by oneself before looking what others wrote
_OLD_DRAFT_S = 3600


class CachedAnnotator:
    """An annotator that keeps what it drew; called like any other.

    The folder may be shared by processes, annotators and settings. Entries appear whole or not at
    all; a damaged one is drawn anew.

    Args:
        annotator: Draws what is missing, a batch at a time, each kept as soon as it is drawn.
        folder: Made if it is not there.
        max_bytes: The most that all entries of the folder take; None for any number. Beyond it
            those that were not used for longest go. Each process looks at the folder again after
            it wrote a sixteenth of the bound, so several may exceed it by that much each.

    Attributes:
        hits: How many annotations were read since.
        drawn: How many were drawn since.

    Raises:
        AnnotatorError: The folder cannot be made, or `max_bytes` is not positive.
    """

    def __init__(
        self, annotator: Annotator, folder: str | Path, *, max_bytes: int | None = None
    ) -> None:
        if max_bytes is not None and max_bytes < 1:
            raise AnnotatorError(f"max_bytes={max_bytes} must be at least 1")
        self.annotator = annotator
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self.hits = 0
        self.drawn = 0
        self._room = 0.0  # bytes to be written before the folder is looked at again
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._trouble(error) from error

    @property
    def name(self) -> str:
        """The annotator's."""
        return self.annotator.name

    @property
    def batch_size(self) -> int:
        """The annotator's."""
        return self.annotator.batch_size

    @property
    def fingerprint(self) -> str:
        """The annotator's."""
        return self.annotator.fingerprint

    def __call__(self, images: Sequence[Image.Image]) -> list[Image.Image]:
        """See `base.Annotator`; also raises an `AnnotatorError` if the folder takes no more."""
        check_images(images)
        keys = [self.key(image) for image in images]
        found: dict[str, Image.Image] = {}
        missing: dict[str, Image.Image] = {}
        for key, image in zip(keys, images, strict=True):
            if key in found or key in missing:
                continue
            kept = self._read(key)
            if kept is None:
                missing[key] = image
            else:
                found[key] = kept
        self.hits += len(found)
        # Images of one size together: they can share a batch.
        rows = sorted(missing.items(), key=lambda row: row[1].size)
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            made = self.annotator([image for _, image in batch])
            for (key, _), annotation in zip(batch, made, strict=True):
                found[key] = annotation
                self._write(key, annotation)
            self.drawn += len(batch)
        handed: set[str] = set()
        result = []
        for key in keys:  # equal images get images of their own, which may be changed
            result.append(found[key].copy() if key in handed else found[key])
            handed.add(key)
        return result

    def key(self, image: Image.Image) -> str:
        """64 hexadecimal digits that name an image's annotation."""
        digest = hashlib.sha256(f"{self.fingerprint}\n{image.mode} {image.size}\n".encode())
        digest.update(image.tobytes())
        return digest.hexdigest()

    def path(self, key: str) -> Path:
        """Where an entry lies."""
        return self.folder / key[:2] / f"{key}{SUFFIX}"

    def _read(self, key: str) -> Image.Image | None:
        """The annotation, or None where there is none that is whole."""
        path = self.path(key)
        try:
            content = path.read_bytes()
            if self.max_bytes is not None:
                os.utime(path)  # used now
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._trouble(error) from error
        picture, digest = content[:-_DIGEST], content[-_DIGEST:]
        if _signature(key, picture) != digest:
            return None
        return Image.open(io.BytesIO(picture), formats=("PNG",)).copy()

    def _write(self, key: str, annotation: Image.Image) -> None:
        buffer = io.BytesIO()
        annotation.save(buffer, "PNG")
        picture = buffer.getvalue()
        path = self.path(key)
        draft = path.parent / f".{secrets.token_hex(8)}{_DRAFT}"
        try:
            path.parent.mkdir(exist_ok=True)
            try:
                draft.write_bytes(picture + _signature(key, picture))
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
            if self.max_bytes is not None:
                self._room -= len(picture) + _DIGEST
                if self._room < 0:
                    self._clear()
        except OSError as error:
            raise self._trouble(error) from error

    def _clear(self) -> None:
        """Removes what was not used for longest, and drafts that a killed process left."""
        entries = []
        for path in self.folder.glob("??/*"):
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                facts = path.stat()
                if path.suffix == SUFFIX:
                    entries.append((facts.st_mtime_ns, facts.st_size, path))
                elif path.suffix == _DRAFT and time.time() - facts.st_mtime > _OLD_DRAFT_S:
                    path.unlink()
        taken = sum(size for _, size, _ in entries)
        if taken > self.max_bytes:
            for _, size, path in sorted(entries):
                path.unlink(missing_ok=True)
                taken -= size
                if taken <= self.max_bytes * _KEPT_SHARE:
                    break
        self._room = min(self.max_bytes - taken, self.max_bytes * _LOOK_SHARE)

    def _trouble(self, error: OSError) -> AnnotatorError:
        return AnnotatorError(
            f"the annotations in {self.folder} cannot be read and written "
            f"({error.strerror or error}): free some room, or name another folder"
        )


def _signature(key: str, picture: bytes) -> bytes:
    return hashlib.sha256(key.encode() + picture).digest()
