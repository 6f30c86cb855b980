"""Step 3: rows to vectors of pictures and of captions, and both in one for the neighbours."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from instruct_imagen.data.clusters.encoders import ImageEncoder, WordEncoder
from instruct_imagen.data.clusters.reading import Loader
from instruct_imagen.data.clusters.rows import ClusterError, Row, Tally, tally
from instruct_imagen.data.clusters.vector_store import VectorStore
from instruct_imagen.data.corpora.base import EntryError
from instruct_imagen.images import ImageError, load_image

TEXT_WEIGHT = 0.3
"""Of `joint`, for the offline default. The nearest stamp lies in the same folder most often at 0.2
(0.61 of stamps; 0.54 without captions, 0.48 by captions alone), and clip art shares the most of its
keywords with ever more weight, but little more from 0.3 on; see ``benchmarks/corpus_figures.py``.
"""

_TEXTS = 1024  # captions that are embedded, and kept, together


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """The vectors of a part.

    Attributes:
        rows: Those that could be embedded, in their order.
        images: (N, D) float16, each of length 1 but for the rounding.
        texts: (N, E) float16 of their captions, alike; None where no captions are embedded.
        tally: Rows that were lost on the way.
    """

    rows: tuple[Row, ...]
    images: np.ndarray
    texts: np.ndarray | None
    tally: Tally


def embed_part(
    rows: Sequence[Row],
    load: Loader,
    encoder: ImageEncoder,
    words: WordEncoder | None = None,
    store: VectorStore | None = None,
) -> Embedded:
    """Embeds the pictures of a part, and its captions where `words` are given.

    A function of rows and images alone. A store that has some of them changes how the others are
    batched, which with networks of transformers may change the last bit of a vector; with the
    offline default it changes nothing.

    Args:
        rows: Of the part.
        load: Gives their images.
        encoder: Of pictures.
        words: Of captions.
        store: Where vectors are kept; equal images and captions are then embedded once.

    Raises:
        ClusterError: A model cannot be loaded or is broken, or the store cannot be used.
    """
    vectors, problems = _images(rows, load, encoder, store)
    kept = tuple(row for row in rows if row.sha256 in vectors)
    images = _stacked([vectors[row.sha256] for row in kept], encoder.width)
    texts = None if words is None else embed_texts([row.caption for row in kept], words, store)
    return Embedded(rows=kept, images=images, texts=texts, tally=tally(problems))


def embed_texts(
    texts: Sequence[str], words: WordEncoder, store: VectorStore | None = None
) -> np.ndarray:
    """(N, E) float16 of texts, each distinct one embedded once."""
    names = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    known = store.read(words.fingerprint, names, words.width) if store is not None else {}
    left = {name: text for name, text in zip(names, texts, strict=True) if name not in known}
    todo = list(left.items())
    for start in range(0, len(todo), _TEXTS):
        some = todo[start : start + _TEXTS]
        found = words([text for _, text in some]).astype(np.float16)
        made = dict(zip((name for name, _ in some), found, strict=True))
        _keep(store, words.fingerprint, made)
        known |= made
    return _stacked([known[name] for name in names], words.width)


def joint(
    images: np.ndarray, texts: np.ndarray | None, text_weight: float = TEXT_WEIGHT
) -> np.ndarray:
    """Vectors whose cosine is that of pictures and that of captions, mixed.

    Args:
        images: (N, D), rows of length 1.
        texts: (N, E), rows of length 1; None for pictures alone.
        text_weight: Of the captions' cosine, in [0, 1]; the pictures' has the rest.

    Returns:
        (N, D + E) float16, rows of length 1 but for the rounding.

    Raises:
        ClusterError: The weight is out of range.
    """
    if not 0 <= text_weight <= 1:
        raise ClusterError(f"embed: text_weight={text_weight} must be from 0 to 1")
    if texts is None:
        return images.astype(np.float16)
    seen, said = np.sqrt(1 - text_weight), np.sqrt(text_weight)
    parts = [seen * images.astype(np.float32), said * texts.astype(np.float32)]
    return np.concatenate(parts, axis=1).astype(np.float16)


def _images(
    rows: Sequence[Row], load: Loader, encoder: ImageEncoder, store: VectorStore | None
) -> tuple[dict[str, np.ndarray], list[EntryError]]:
    """Vectors by the SHA-256 of the encoded images, and what could not be embedded."""
    names = [row.sha256 for row in rows]
    known = store.read(encoder.fingerprint, names, encoder.width) if store is not None else {}
    first: dict[str, Row] = {}
    for row in rows:
        if row.sha256 not in known:
            first.setdefault(row.sha256, row)
    left = list(first.values())
    problems: dict[str, EntryError] = {}
    waiting: list[tuple[str, Image.Image]] = []

    def run() -> None:
        found = encoder([picture for _, picture in waiting]).astype(np.float16)
        made = dict(zip((name for name, _ in waiting), found, strict=True))
        _keep(store, encoder.fingerprint, made)
        known.update(made)
        waiting.clear()

    for row, data in zip(left, load(left), strict=True):
        picture = data if isinstance(data, EntryError) else _decoded(row, data, encoder.view)
        if isinstance(picture, EntryError):
            problems[row.sha256] = picture
            continue
        waiting.append((row.sha256, picture))
        if len(waiting) == encoder.batch_size:
            run()
    if waiting:
        run()
    lost = [problems[row.sha256] for row in rows if row.sha256 in problems]
    return known, lost


def _decoded(row: Row, data: bytes, view: int) -> Image.Image | EntryError:
    """A picture, its shorter side below twice `view`; or what is wrong with it."""
    try:
        with io.BytesIO(data) as file:
            file.name = row.key  # type: ignore[attr-defined]  # what the decoder's errors name
            picture = load_image(file)
    except ImageError as error:
        return EntryError(str(error), "broken image")
    factor = min(picture.size) // view
    return picture.reduce(factor) if factor > 1 else picture


def _keep(store: VectorStore | None, fingerprint: str, made: dict[str, np.ndarray]) -> None:
    if store is not None:
        store.write(fingerprint, made)


def _stacked(vectors: list[np.ndarray], width: int) -> np.ndarray:
    return np.stack(vectors) if vectors else np.empty((0, width), np.float16)
