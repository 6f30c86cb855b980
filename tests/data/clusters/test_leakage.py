"""Pictures of a hold-out that lie in a corpus: found, named, and in no cluster."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from instruct_imagen.data.clusters import settings as building
from instruct_imagen.data.clusters.building import build
from instruct_imagen.data.clusters.hashes import perceptual_hashes, thumbnail
from instruct_imagen.data.clusters.holdouts import open_holdout
from instruct_imagen.data.clusters.leakage import (
    ALIKE,
    SAME_BYTES,
    SAME_PICTURE,
    Pictures,
    leaks_of,
)
from instruct_imagen.data.clusters.near_duplicates import Thresholds
from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.data.clusters.settings import steps_of
from instruct_imagen.data.clusters.steps.base import Step
from instruct_imagen.data.clusters.steps.holdout import HoldOut
from instruct_imagen.data.clusters.steps.leaks import read_leaks
from instruct_imagen.data.clusters.steps.members import MEMBERS
from instruct_imagen.data.clusters.writing import read_members
from instruct_imagen.data.corpora.base import EntryError
from tests.data.clusters.builds import (
    SETTINGS,
    drawing,
    encoded,
    members_of,
    open_small,
    write_corpus,
)
from tests.data.clusters.pictures import packed, scene

TEST_SET = {"star": 50, "house": 51, "ladder": 52, "wheel": 53}
"""Drawings of the hold-out: thing → number."""


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=35)
    return file.getvalue()


def write_test_set(folder: Path) -> None:
    """Four pictures without captions, one of them in a folder, and one that is broken."""
    (folder / "inner").mkdir(parents=True)
    for thing, number in TEST_SET.items():
        place = folder / "inner" if thing == "wheel" else folder
        (place / f"{thing}.png").write_bytes(encoded(drawing(thing, number)))
    (folder / "broken.png").write_bytes(b"no picture")


def plant(corpus: Path) -> dict[str, str]:
    """Puts pictures of the hold-out into a corpus; key → name in the hold-out."""
    star, house, ladder, wheel = (drawing(thing, number) for thing, number in TEST_SET.items())
    larger = house.resize((97, 90), Image.Resampling.LANCZOS)
    planted = {
        "aa_same.png": (encoded(star), "star.png"),
        "mm_flipped.png": (encoded(ImageOps.mirror(star)), "star.png"),
        "yy_larger.png": (encoded(larger), "house.png"),
        "yy_jpeg.jpg": (jpeg(ladder), "ladder.png"),
        "zz_part.png": (encoded(wheel.crop((4, 3, 62, 60))), "inner/wheel.png"),
    }
    for key, (data, name) in planted.items():
        (corpus / key).write_bytes(data)
        thing = Path(name).stem
        (corpus / key).with_suffix(".txt").write_text(f"a {thing} of the town")
    return {key: name for key, (_, name) in planted.items()}


@pytest.fixture(scope="module", autouse=True)
def _networks_are_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "encoders_of", lru_cache(building.encoders_of))
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, str]]:
    """A corpus with planted pictures, the hold-out, and what was planted."""
    root = tmp_path_factory.mktemp("leakage")
    write_corpus(root / "corpus")
    write_test_set(root / "test")
    return root / "corpus", root / "test", plant(root / "corpus")


@pytest.fixture(scope="module")
def built(folders: tuple[Path, Path, dict[str, str]]) -> Path:
    """The clusters of the corpus, to which no hold-out was given."""
    corpus, held, _ = folders
    counts = build(held.parent / "built", steps_with(corpus, held.parent / "built"))
    assert "leaks" not in counts
    return held.parent / "built"


def steps_with(corpus: Path, root: Path, *holdouts: Path) -> Sequence[Step]:
    found = [open_holdout(one) for one in holdouts]
    return steps_of(root, open_small(corpus), SETTINGS, holdouts=found)


def stamps(root: Path) -> dict[str, int]:
    return {
        str(path.relative_to(root)): path.stat().st_mtime_ns for path in sorted(root.glob("*/*.*"))
    }


def named(root: Path) -> dict[str, tuple[str, str]]:
    lines = [line for path in sorted((root / "leaks").glob("*.jsonl")) for line in read_leaks(path)]
    assert all(line["holdout"] == "test" for line in lines)
    return {line["key"]: (line["holdout_key"], line["why"]) for line in lines}


def test_what_is_held_out_is_named_and_in_no_cluster(
    folders: tuple[Path, Path, dict[str, str]], built: Path, tmp_path: Path
) -> None:
    corpus, held, planted = folders
    root = Path(shutil.copytree(built, tmp_path / "out"))
    before, open_to_all = stamps(root), members_of(root)
    keys = read_members(root / "members" / MEMBERS)["key"].to_pylist()
    assert set(planted) & set(keys)  # else there would be nothing to take out

    counts = build(root, steps_with(corpus, root, held))
    assert counts["holdout"] == {"held out": 4, "broken image": 1}
    assert counts["leaks"][f"in a hold-out: {SAME_BYTES}"] == 1
    assert counts["leaks"]["of no hold-out"] == counts["embed"]["embedded"] - len(planted)
    assert sum(counts["domains"].values()) == counts["embed"]["embedded"] - len(planted)
    found = named(root)
    assert {key: name for key, (name, _) in found.items()} == planted
    assert found["aa_same.png"][1] == SAME_BYTES
    assert found["yy_jpeg.jpg"][1] == SAME_PICTURE
    keys = read_members(root / "members" / MEMBERS)["key"].to_pylist()
    assert not set(planted) & set(keys)
    after = stamps(root)
    early = {"read", "words", "repeats", "pixels", "embed"}
    assert {n: t for n, t in after.items() if n.split("/")[0] in early} == {
        n: t for n, t in before.items() if n.split("/")[0] in early
    }

    build(root, steps_with(corpus, root, held))
    assert stamps(root) == after  # nothing is done twice
    build(root, steps_with(corpus, root))
    assert members_of(root) == open_to_all


def test_another_hold_out_makes_the_rest_anew(
    folders: tuple[Path, Path, dict[str, str]], built: Path, tmp_path: Path
) -> None:
    corpus, held, _ = folders
    mine = tmp_path / "test"
    mine.mkdir()
    (mine / "house.png").write_bytes((held / "house.png").read_bytes())
    root = Path(shutil.copytree(built, tmp_path / "out"))
    build(root, steps_with(corpus, root, mine))
    assert set(named(root)) == {"yy_larger.png"}
    first = members_of(root)
    (root / "leaks" / "00000.jsonl").unlink()  # as if the build had been killed there
    build(root, steps_with(corpus, root, mine))
    assert members_of(root) == first
    (mine / "star.png").write_bytes((held / "star.png").read_bytes())
    build(root, steps_with(corpus, root, mine))
    assert set(named(root)) == {"yy_larger.png", "aa_same.png", "mm_flipped.png"}
    assert members_of(root) != first
    strict = replace(SETTINGS.duplicates, correlation=1.5, similarity=2)  # nothing is alike
    found = [open_holdout(mine)]
    other = replace(SETTINGS, duplicates=strict)  # of the corpus' own pairs, not of these
    build(root, steps_of(root, open_small(corpus), other, holdouts=found))
    assert set(named(root)) == {"yy_larger.png", "aa_same.png", "mm_flipped.png"}
    settings = replace(SETTINGS, holdout=strict)
    build(root, steps_of(root, open_small(corpus), settings, holdouts=found))
    assert set(named(root)) == {"aa_same.png"}


def test_hold_outs_of_all_kinds_give_the_same_pictures(tmp_path: Path) -> None:
    images = {f"{number}.png": packed(scene(number)) for number in range(3)}
    for kind in ("images", "tars", "tables"):
        (tmp_path / kind).mkdir()
    with tarfile.open(tmp_path / "tars" / "a.tar", "w") as tar:
        for name, data in {**images, "0.txt": b"a caption"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    for name, data in images.items():
        (tmp_path / "images" / name).write_bytes(data)
    column = [{"bytes": data, "path": None} for data in images.values()]
    pq.write_table(pa.table({"photo": column}), tmp_path / "tables" / "a.parquet")
    for kind, first in (("images", "0.png"), ("tars", "a.tar/0.png"), ("tables", "a.parquet/0")):
        held = open_holdout(tmp_path / kind)
        found = [one for part in range(held.parts) for one in held.images(part)]
        assert not any(isinstance(one, EntryError) for one in found)
        assert [data for _, data in found] == list(images.values())
        assert found[0][0] == first
    whole = (tmp_path / "tars" / "a.tar").read_bytes()
    (tmp_path / "tars" / "a.tar").write_bytes(whole[:700])
    (broken,) = open_holdout(tmp_path / "tars").images(0)
    assert "a.tar breaks off" in str(broken)
    second = whole.index(b"1.png")
    (tmp_path / "tars" / "a.tar").write_bytes(whole[:second] + b"?" + whole[second + 1 :])
    kept, broken = open_holdout(tmp_path / "tars").images(0)
    assert kept[0] == "a.tar/0.png"
    assert f"a.tar breaks off: broken header at byte {second}" in str(broken)


def test_no_picture_of_a_hold_out_is_passed_over(tmp_path: Path) -> None:
    first, second = packed(scene(0)), packed(scene(1))
    folder = tmp_path / "test"
    folder.mkdir()
    with tarfile.open(folder / "a.tar", "w") as tar:
        for data in (first, second):  # under one name
            member = tarfile.TarInfo("x.png")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    write_corpus(tmp_path / "corpus")
    steps = steps_with(tmp_path / "corpus", tmp_path / "out", folder)
    held = next(step for step in steps if isinstance(step, HoldOut))
    build(tmp_path / "out", [held])
    assert set(held.pictures().sha256) == {
        hashlib.sha256(data).hexdigest() for data in (first, second)
    }
    (folder / "b.png").write_bytes(first)
    with pytest.raises(ClusterError, match="holds tars and images: give each a folder of its own"):
        open_holdout(folder)
    (folder / "a.tar").unlink()
    (folder / "c.png").write_bytes(second)
    (folder / "labels.csv").write_text("path,label\nb.png,star\n")
    assert [name for name, _ in open_holdout(folder).images(0)] == ["b.png", "c.png"]


def test_a_picture_that_a_table_names_and_that_is_replaced_is_looked_at_anew(
    tmp_path: Path,
) -> None:
    (tmp_path / "test" / "inner").mkdir(parents=True)
    one, other = (tmp_path / "test" / name for name in ("one.bin", "inner/two.bin"))
    one.write_bytes(packed(scene(0)))
    other.write_bytes(packed(scene(1)))
    (tmp_path / "test" / "list.csv").write_text("path,label\none.bin,a\ninner/two.bin,b\n../x,c\n")
    held = HoldOut(
        root=tmp_path / "out", sets=(open_holdout(tmp_path / "test"),),
        images=building.encoders_of(SETTINGS)[0],
    )  # fmt: skip
    build(tmp_path / "out", [held])
    assert held.missing() == []
    first = held.pictures().sha256
    other.write_bytes(packed(scene(2)))
    assert held.missing() == ["00.00000"]
    assert build(tmp_path / "out", [held])["holdout"]["held out"] == 2
    second = held.pictures().sha256
    assert first[0] == second[0] and first[1] != second[1]
    other.unlink()
    assert held.missing() == ["00.00000"]


def test_a_hold_out_that_cannot_be_read_is_no_hold_out(
    folders: tuple[Path, Path, dict[str, str]], built: Path, tmp_path: Path
) -> None:
    corpus, _, _ = folders
    with pytest.raises(ClusterError, match="is no folder"):
        open_holdout(tmp_path / "nowhere")
    (tmp_path / "test").mkdir()
    with pytest.raises(ClusterError, match="holds no images"):
        open_holdout(tmp_path / "test")
    (tmp_path / "test" / "a.png").write_bytes(b"no picture")
    root = Path(shutil.copytree(built, tmp_path / "out"))
    with pytest.raises(ClusterError, match=r"no picture of the hold-out can be read.*a\.png"):
        build(root, steps_with(corpus, root, tmp_path / "test"))
    (tmp_path / "test" / "a.png").unlink()
    pq.write_table(pa.table({"label": [1]}), tmp_path / "test" / "a.parquet")
    with pytest.raises(ClusterError, match="no column of images"):
        list(open_holdout(tmp_path / "test").images(0))


def pictures(images: Sequence[Image.Image], vectors: np.ndarray) -> Pictures:
    thumbs = np.stack([thumbnail(image) for image in images])
    return Pictures(
        sha256=[str(hash(image.tobytes())) for image in images],
        thumbs=thumbs,
        hashes=perceptual_hashes(thumbs),
        vectors=vectors,
    )


def test_each_ground_is_enough_and_the_most_alike_is_named() -> None:
    lot = np.random.default_rng(0)
    vectors = lot.normal(size=(8, 32))
    held = pictures([scene(number) for number in range(4)], vectors[:4])
    smaller = scene(2).resize((60, 50), Image.Resampling.BOX)
    corpus = pictures(
        [scene(1), smaller, scene(20), scene(21)],
        np.stack([vectors[4], vectors[5], vectors[3] + 0.01 * vectors[6], vectors[7]]),
    )
    found = leaks_of(corpus, held, Thresholds())
    assert [(leak.row, leak.held, leak.why) for leak in found] == [
        (0, 1, SAME_BYTES),
        (1, 2, SAME_PICTURE),
        (2, 3, ALIKE),
    ]
    assert found[1].correlation > 0.95
    assert found[2].similarity > 0.99
    assert leaks_of(pictures([scene(9)], vectors[:1] + vectors[1:2]), held, Thresholds()) == []
