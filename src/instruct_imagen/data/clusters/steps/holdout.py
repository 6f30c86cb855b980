"""The pictures of hold-outs, as those of the corpus are compared with them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from instruct_imagen.data.clusters.embedding import embed_part
from instruct_imagen.data.clusters.encoders import ImageEncoder
from instruct_imagen.data.clusters.hashes import THUMB, perceptual_hashes, thumbnail
from instruct_imagen.data.clusters.holdouts import Held, HeldSet
from instruct_imagen.data.clusters.leakage import Pictures
from instruct_imagen.data.clusters.ledger import Draft
from instruct_imagen.data.clusters.picture_quality import VIEW
from instruct_imagen.data.clusters.rows import Row, Tally, printable, tally
from instruct_imagen.data.clusters.steps.base import (
    Step,
    gpus_of,
    table_of,
    write_array,
    write_table,
)
from instruct_imagen.data.corpora.base import EntryError
from instruct_imagen.data.corpora.records import Place
from instruct_imagen.images import ImageError, load_image

PREVIEW = 128
"""Pixels of the longer side of what reports show."""

_AT_ONCE = 64  # pictures in memory


@dataclass(frozen=True, kw_only=True)
class HoldOut(Step):
    """``<part>.parquet``: holdout, key, sha256, preview (JPEG); ``.thumbs.npy``, ``.images.npy``.

    Attributes:
        sets: At least one.
        images: Embeds images.
    """

    name: ClassVar[str] = "holdout"
    version: ClassVar[int] = 2

    sets: tuple[HeldSet, ...]
    images: ImageEncoder

    @property
    def gpus(self) -> int:
        """One if a network runs on it."""
        return gpus_of(self.images)

    def parts(self) -> Sequence[str]:
        """Those of all hold-outs: ``<hold-out>.<part>``, by their numbers."""
        return [
            f"{number:02d}.{part:05d}"
            for number, one in enumerate(self.sets)
            for part in range(one.parts)
        ]

    def settings(self) -> Mapping[str, Any]:
        """How they are laid out, and what embeds."""
        return {"sets": [one.about() for one in self.sets], "images": self.images.fingerprint}

    def inputs(self, part: str) -> Mapping[str, str]:
        """Of that hold-out."""
        one, number = self._of(part)
        return one.inputs(number)

    def make(self, part: str, draft: Draft, tools: Any) -> None:
        """Decodes and embeds."""
        one, number = self._of(part)
        problems: list[EntryError] = []
        lost = Tally()
        rows: list[tuple[str, str, bytes]] = []
        thumbs, vectors = [], []
        readable = _readable(one.images(number), problems)
        while some := list(islice(readable, _AT_ONCE)):
            # By their places: two pictures of a hold-out may have one name.
            views = {}
            for place, (key, data) in enumerate(some):
                view = _view(key, data, problems)
                if view is not None:
                    views[place] = view
            found = embed_part(
                [_row(place, *some[place]) for place in views],
                lambda rows, some=some: iter([some[int(row.place.file)][1] for row in rows]),
                self.images,
            )
            lost += found.tally
            for row in found.rows:
                view = views[int(row.place.file)]
                rows.append((row.key, row.sha256, _preview(view)))
                thumbs.append(thumbnail(view))
            vectors.append(found.images)
        keys, hashes, previews = zip(*rows, strict=True) if rows else ((), (), ())
        table = {
            "holdout": pa.array([one.name] * len(rows), pa.string()),
            "key": pa.array(keys, pa.string()),
            "sha256": pa.array(hashes, pa.string()),
            "preview": pa.array(previews, pa.binary()),
        }
        write_table(pa.table(table), draft.path(table_of(part)))
        empty = np.empty((0, THUMB, THUMB, 3), np.uint8)
        write_array(np.stack(thumbs) if thumbs else empty, draft.path(f"{part}.thumbs.npy"))
        none = np.empty((0, self.images.width), np.float16)
        write_array(np.concatenate([none, *vectors]), draft.path(f"{part}.images.npy"))
        draft.count("held out", len(rows))
        draft.tally(tally(problems) + lost)

    def pictures(self) -> Pictures:
        """All of them; about 9.5 KB each."""
        tables = [self.path(table_of(part)) for part in self.parts()]
        thumbs, vectors = (
            np.concatenate([np.load(self.path(f"{part}.{what}.npy")) for part in self.parts()])
            for what in ("thumbs", "images")
        )
        return Pictures(
            sha256=[
                name
                for path in tables
                for name in pq.read_table(path, columns=["sha256"])["sha256"].to_pylist()
            ],
            thumbs=thumbs,
            hashes=perceptual_hashes(thumbs).reshape(-1, 2),
            vectors=vectors,
        )

    def names(self) -> list[tuple[str, str]]:
        """(hold-out, key) of each of `pictures`."""
        found = []
        for part in self.parts():
            table = pq.read_table(self.path(table_of(part)), columns=["holdout", "key"])
            found += zip(table["holdout"].to_pylist(), table["key"].to_pylist(), strict=True)
        return found

    def _of(self, part: str) -> tuple[HeldSet, int]:
        one, number = part.split(".")
        return self.sets[int(one)], int(number)


def _readable(
    found: Iterator[Held | EntryError], problems: list[EntryError]
) -> Iterator[tuple[str, bytes]]:
    for one in found:
        if isinstance(one, EntryError):
            problems.append(one)
        else:
            yield printable(one[0]), one[1]


def _view(key: str, data: bytes, problems: list[EntryError]) -> Image.Image | None:
    """A picture as the filter looks at those of the corpus."""
    try:
        with io.BytesIO(data) as file:
            file.name = key  # type: ignore[attr-defined]  # what the decoder's errors name
            picture = load_image(file)
    except ImageError as error:
        problems.append(EntryError(str(error), "broken image"))
        return None
    picture.thumbnail((VIEW, VIEW), Image.Resampling.BOX)
    return picture


def _row(place: int, key: str, data: bytes) -> Row:
    sha256 = hashlib.sha256(data).hexdigest()
    return Row(
        key=key, caption=key, width=0, height=0, sha256=sha256, place=Place(file=str(place)),
        size=len(data),
    )  # fmt: skip


def _preview(view: Image.Image) -> bytes:
    small = view.copy()
    small.thumbnail((PREVIEW, PREVIEW))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=85)
    return file.getvalue()
