"""Captions that many images share: those of things stay, titles of collections go."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from instruct_imagen.data.clusters.building import build
from instruct_imagen.data.clusters.engine import sharing
from instruct_imagen.data.clusters.settings import steps_of
from instruct_imagen.data.clusters.shared_captions import likeness
from tests.data.clusters.builds import SETTINGS, drawing, encoded, open_small


@pytest.mark.parametrize("at_once", [2**20, 7])
def test_captions_are_counted_over_all_tables(at_once: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = [f"Title {number}" for number in range(12)]
    texts = [words[k] for k in (12 * rng.random(60) ** 2).astype(int)]
    written = [(text.upper(), f" {text.replace(' ', '  ')}", text)[k % 3]
               for k, text in enumerate(texts)]  # fmt: skip
    tables = []
    for start in range(0, 60, 20):
        tables.append(tmp_path / f"{start}.parquet")
        part = {"id": list(range(start, start + 20)), "caption": written[start : start + 20]}
        pq.write_table(pa.table(part), tables[-1])
    many = {text for text, count in Counter(texts).items() if count > 4}
    assert 2 <= len(many) < len(set(texts))
    expected = [row for row, text in enumerate(texts) if text in many]
    first = list(dict.fromkeys(texts[row] for row in expected))
    ids, groups = sharing(tables[::-1], "caption", "id", 4, at_once=at_once)
    assert ids.tolist() == expected
    assert [first[group] for group in groups] == [texts[row] for row in expected]
    none, of_none = sharing(tables, "caption", "id", 60, at_once=at_once)
    assert not len(none) and not len(of_none)


def test_alike_is_the_mean_of_all_pairs_between_any_two_and_equal_ones() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(40, 6)) + 1
    vectors[5:9] = vectors[5] * np.array([[1], [2], [3], [4]])
    numbers = np.arange(40) * 10
    ids = np.array([20, 30, 50, 60, 70, 80, 110, 120, 130, 395, 396])  # the last two have no vector
    groups = np.array([0, 0, 1, 1, 1, 1, 0, 0, 0, 2, 2])

    def parts() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start, stop in ((0, 15), (15, 15), (15, 33), (33, 40)):
            yield numbers[start:stop], vectors[start:stop].astype(np.float16)

    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def mean(rows: list[int]) -> float:
        return float(np.mean([unit[one] @ unit[other] for one, other in combinations(rows, 2)]))

    base = mean(list(range(40)))
    expected = [(mean([2, 3, 11, 12, 13]) - base) / (1 - base), 1, 1]
    for at_once in (100, 1):
        found = likeness(ids, groups, parts, at_once=at_once)
        assert found == pytest.approx(expected, abs=2e-3)
    assert expected[0] < 0.9
    assert not len(likeness(ids[:0], groups[:0], parts))


def test_titles_of_collections_go_and_many_drawings_of_one_thing_stay(tmp_path: Path) -> None:
    corpus, root = tmp_path / "corpus", tmp_path / "out"
    corpus.mkdir()

    def add(name: str, image: Image.Image, caption: str) -> None:
        (corpus / f"{name}.png").write_bytes(encoded(image))
        (corpus / f"{name}.txt").write_text(caption)

    star = drawing("star", 0)
    for number in range(6):
        box = (number, number, 64 - number, 64)
        add(f"a{number}", star.crop(box).resize((64, 64)), "a Star")
    things = ("star", "house", "ladder", "wheel")
    for number in range(6):
        add(
            f"b{number}",
            drawing(things[number % 4], 20 + number),
            ("My icons", "my icons")[number % 2],
        )
    for number in range(5):
        add(f"c{number}", drawing(things[number % 4], 30 + number), "five icons")

    def counts(most: int, alike: float = 0.5) -> tuple[dict[str, dict[str, int]], list[str]]:
        filters = replace(SETTINGS.filters, most_images=most, alike=alike)
        steps = steps_of(root, open_small(corpus), replace(SETTINGS, filters=filters))
        names = [step.name for step in steps]
        return build(root, steps[: names.index("domains") + 1]), names

    found, _ = counts(5)
    assert found["titles"] == {"kept": 11, "caption of a collection": 6}
    assert sum(found["domains"].values()) == 11
    lines = [json.loads(line) for line in (root / "titles" / "all.jsonl").open()]
    assert [(line["caption"], line["images"], line["kept"]) for line in lines] == [
        ("a Star", 6, True), ("My icons", 6, False),
    ]  # fmt: skip
    assert lines[0]["alike"] > 0.7 > 0.3 > lines[1]["alike"]
    stamps = {path.name: path.stat().st_mtime_ns for path in (root / "domains").iterdir()}
    assert counts(4)[0]["titles"] == {"kept": 6, "caption of a collection": 11}
    after = {path.name: path.stat().st_mtime_ns for path in (root / "domains").iterdir()}
    # Their five are the last part; those of the others are what they were.
    changed = {name for name in after if after[name] != stamps[name]}
    assert changed == {"00002.json", "00002.npy"}
    assert counts(4, alike=-1.0)[0]["titles"] == {"kept": 17}
    found, names = counts(0)
    assert "titles" not in names and sum(found["domains"].values()) == 17


def test_what_most_pictures_of_a_corpus_share_is_no_title(tmp_path: Path) -> None:
    corpus, root = tmp_path / "corpus", tmp_path / "out"
    corpus.mkdir()
    for number in range(9):
        shape = ("star", "house", "ladder")[number % 3]
        (corpus / f"{number}.png").write_bytes(encoded(drawing(shape, number)))
        (corpus / f"{number}.txt").write_text("a shape" if number < 7 else f"a {shape}")
    filters = replace(SETTINGS.filters, most_images=3, alike=0.5)
    steps = steps_of(root, open_small(corpus), replace(SETTINGS, filters=filters))
    names = [step.name for step in steps]
    found = build(root, steps[: names.index("titles") + 1])
    assert found["titles"] == {"kept": 9}
    (line,) = [json.loads(line) for line in (root / "titles" / "all.jsonl").open()]
    assert (line["images"], line["kept"]) == (7, True)
