"""A corpus becomes clusters: what is kept, what is not done again, what survives a kill."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from instruct_imagen.data.clusters import encoders, neighbours, sentences, writing
from instruct_imagen.data.clusters.building import build, reading, run_step
from instruct_imagen.data.clusters.domains import Domain, DomainSettings
from instruct_imagen.data.clusters.reading import Loader, WebCorpus, open_web_corpus
from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.data.clusters.settings import steps_of
from instruct_imagen.data.clusters.steps.members import MEMBERS
from instruct_imagen.data.clusters.steps.plan import PlanSearch
from instruct_imagen.data.clusters.steps.search import Search
from instruct_imagen.data.clusters.writing import ClusterJob, order_of, read_members
from instruct_imagen.data.shards.building import build_shards
from instruct_imagen.data.shards.layout import ShardError
from instruct_imagen.data.shards.reading import read_shards
from tests.data.clusters.builds import (
    SETTINGS,
    drawing,
    encoded,
    left_of,
    members_of,
    open_small,
    small_steps,
    write_corpus,
)
from tests.data.corpora.layouts import tar

ROOT = Path(__file__).parents[3]
KILLS = 20


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clusters") / "corpus"
    write_corpus(folder)
    return folder


@pytest.fixture(scope="module")
def built(corpus: Path) -> Path:
    root = corpus.parent / "built"
    build(root, small_steps(corpus, root))
    return root


def test_what_becomes_of_every_image(corpus: Path, tmp_path: Path) -> None:
    counts = build(tmp_path / "out", small_steps(corpus, tmp_path / "out"))
    assert counts["read"] == {"read": 33, "no caption": 1}
    assert counts["words"] == {"kept": 32, "too small": 1}
    assert counts["repeats"] == {"kept": 31, "repeat of an earlier image": 1}
    assert counts["pixels"] == {"kept": 29, "blank": 1, "broken image": 1}
    assert counts["embed"] == {"embedded": 29}
    assert sum(counts["domains"].values()) == 29
    assert sum(counts["gather"].values()) == 29
    cut = counts["cut"]
    assert counts["members"]["clusters"] == cut["clusters"] >= 3
    assert cut["in a cluster"] == 5 * cut["clusters"]
    assert cut["a near-duplicate is kept instead"] == 1


def test_clusters_are_of_one_thing_and_of_different_images(built: Path) -> None:
    table = read_members(built / "members" / MEMBERS)
    keys = table["key"].to_pylist()
    assert len(set(keys)) == len(keys)
    assert len({"zz_again.png", "zz_near.png", "star_0.png"} & set(keys)) <= 1
    captions = table["caption"].to_pylist()
    for start in range(0, len(keys), 5):
        assert len(set(captions[start : start + 5])) == 1
    loosest = table["similarity"].to_pylist()[4::5]
    assert loosest == sorted(loosest, reverse=True)
    assert min(loosest) >= SETTINGS.least


def test_processes_and_parts_change_no_cluster(corpus: Path, built: Path, tmp_path: Path) -> None:
    def clusters(root: Path) -> list[tuple[str, ...]]:
        keys = read_members(root / "members" / MEMBERS)["key"].to_pylist()
        return [tuple(keys[start : start + 5]) for start in range(0, len(keys), 5)]

    for step in small_steps(corpus, tmp_path / "two"):
        # Each step begins its own processes; two of them are enough to show it.
        run_step(step, workers=1 + (step.name in ("embed", "search")), report=lambda *_: None)
    assert members_of(tmp_path / "two") == members_of(built)
    build(tmp_path / "parts", small_steps(corpus, tmp_path / "parts", rows=13))
    assert clusters(tmp_path / "parts") == clusters(built)


def test_parts_of_cells_give_each_row_its_own_neighbours(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "FEWEST", 10)
    monkeypatch.setattr(neighbours, "build_cells", partial(neighbours.build_cells, size=6))
    steps = small_steps(corpus, tmp_path)
    step = next(step for step in steps if isinstance(step, Search))
    step = replace(step, rows=5, plan=replace(step.plan, recall=0.2))
    for one in steps[: [one.name for one in steps].index(PlanSearch.name)]:
        run_step(one, workers=1, report=lambda *_: None)
    for one in (step.plan, step):
        run_step(one, workers=1, report=lambda *_: None)
    sorted_by_cell = 0
    for domain in step.plan.parts():
        plan = step.plan.plan_of(domain)
        whole = neighbours.search(plan)
        ids, similarities = step.of(domain)
        assert (ids == whole.ids).all()
        assert abs(similarities - whole.similarities).max() < 1e-5
        sorted_by_cell += plan.order().tolist() != list(range(len(ids)))
        assert len(step.parts_of(domain)) == -(-len(ids) // 5)
    assert sorted_by_cell


def stamps(root: Path) -> dict[str, int]:
    found = sorted(root.rglob("[!.]*.*"))
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in found}


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {name.split("/")[0] for name in after if before.get(name) != after[name]}


def test_what_is_done_is_not_done_again(corpus: Path, tmp_path: Path) -> None:
    root = tmp_path / "out"
    build(root, small_steps(corpus, root))
    before, whole = stamps(root), members_of(root)
    build(root, small_steps(corpus, root))
    assert changed(before, stamps(root)) == set()
    loosest = min(read_members(root / "members" / MEMBERS)["similarity"].to_pylist())
    build(root, steps_of(root, open_small(corpus), replace(SETTINGS, least=loosest - 0.01)))
    assert changed(before, stamps(root)) == {"cut"}  # which makes the same clusters
    build(root, steps_of(root, open_small(corpus), replace(SETTINGS, least=loosest + 0.001)))
    assert changed(before, stamps(root)) == {"cut", "members"}
    assert members_of(root) != whole
    build(root, small_steps(corpus, root))
    assert members_of(root) == whole
    (root / "embed" / "00001.texts.npy").unlink()
    before = stamps(root)
    build(root, small_steps(corpus, root))
    assert changed(before, stamps(root)) == {"embed"}
    assert members_of(root) == whole


def test_a_build_ends_after_the_step_that_is_asked_for(corpus: Path, tmp_path: Path) -> None:
    steps = small_steps(corpus, tmp_path / "out")[:3]
    assert list(build(tmp_path / "out", steps)) == ["read", "words", "repeats"]
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert found == {"read", "words", "repeats", ".lock", ".claim"}


def test_words_that_come_later_are_read(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus, tmp_path / "corpus")
    steps = small_steps(tmp_path / "corpus", tmp_path / "out")[:1]
    assert build(tmp_path / "out", steps)["read"] == {"read": 33, "no caption": 1}
    (tmp_path / "corpus" / "zz_silent.txt").write_text("a star")
    assert build(tmp_path / "out", steps)["read"] == {"read": 34}


def test_of_a_tar_that_is_added_the_others_are_not_read_again(tmp_path: Path) -> None:
    def add(name: str) -> dict[str, int]:
        files = {f"{name}{n}.png": encoded(drawing("star", n)) for n in range(2)}
        tar(tmp_path / "corpus" / f"{name}.tar", files | {f"{name}0.txt": b"a star"})
        corpus = open_web_corpus(tmp_path / "corpus")
        build(tmp_path / "out", steps_of(tmp_path / "out", corpus, SETTINGS)[:2])
        return stamps(tmp_path / "out")

    add("a")
    before = add("b")
    after = add("c")
    assert {name for name in after if before.get(name) != after[name]} == {
        "read/00002.json", "read/00002.parquet", "words/00002.json", "words/00002.parquet",
        "words/00002.left.parquet",
    }  # fmt: skip


def test_rows_of_domains_with_too_few_are_counted_by_name(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus, tmp_path / "corpus")
    for number in range(3, 7):
        (tmp_path / "corpus" / f"wheel_{number}.png").unlink()
    town = tuple(f"a {thing} of the town" for thing in ("star", "house", "ladder"))
    sorting = DomainSettings(
        domains=(
            Domain(name="town", prompts=town),
            Domain(name="wheels", prompts=("a wheel of the town",)),
        )
    )
    settings = replace(SETTINGS, domains=sorting)
    steps = steps_of(tmp_path / "out", open_small(tmp_path / "corpus"), settings)
    counts = build(tmp_path / "out", steps)
    assert counts["domains"] == {"town": 22, "wheels": 3, "other": 0}
    assert counts["gather"] == {"rows": 22, "too few of wheels for a cluster": 3}
    assert counts["cut"]["clusters"] >= 2
    assert not list((tmp_path / "out" / "gather").glob("wheels.*.npy"))


def test_a_table_that_grows_moves_the_rows_of_those_behind_it(tmp_path: Path) -> None:
    def write(name: str, rows: int) -> None:
        images = [{"bytes": encoded(drawing("star", k)), "path": None} for k in range(rows)]
        captions = [f"star {name} {k}" for k in range(rows)]
        (tmp_path / "corpus").mkdir(exist_ok=True)
        table = pa.table({"image": images, "caption": captions})
        pq.write_table(table, tmp_path / "corpus" / f"{name}.parquet")

    def captions() -> list[str]:
        corpus = open_web_corpus(tmp_path / "corpus", part_rows=4)
        read = steps_of(tmp_path / "out", corpus, SETTINGS)[:1]
        build(tmp_path / "out", read)
        tables = sorted((tmp_path / "out" / "read").glob("*.parquet"))
        return [text for path in tables for text in pq.read_table(path)["caption"].to_pylist()]

    write("a", 6)
    write("b", 12)
    assert captions() == [f"star a {k}" for k in range(6)] + [f"star b {k}" for k in range(12)]
    write("a", 8)
    assert captions() == [f"star a {k}" for k in range(8)] + [f"star b {k}" for k in range(12)]


def test_other_processes_load_no_network_to_see_what_is_done(
    corpus: Path, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = small_steps(corpus, built)
    for step in steps:
        step.missing()

    def none(*_: object) -> None:
        raise AssertionError("a network was loaded")

    sent = pickle.dumps(steps)
    monkeypatch.setattr(encoders, "efficientnet_lite0", none)
    monkeypatch.setattr(sentences, "weights_hash", none)
    with pytest.raises(AssertionError, match="a network was loaded"):
        small_steps(corpus, built)[4].missing()
    for step in pickle.loads(sent):
        assert not step.missing()


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"device": "cpu"}, set()), ({"device": "cuda"}, {"embed", "domains"}),
     ({"device": "cuda:1", "quality_model": "nima"}, {"pixels", "embed", "domains"})],
)  # fmt: skip
def test_steps_whose_networks_are_on_a_gpu_ask_for_one(
    changed: dict[str, str], named: set[str], corpus: Path, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, dtype="float32", **changed)
    steps = steps_of(tmp_path, open_small(corpus), settings)
    assert {step.name for step in steps if step.gpus} == named


def test_two_builds_in_one_folder(corpus: Path, tmp_path: Path) -> None:
    told = []

    def meanwhile(step: object, done: int, parts: int) -> None:
        if not told:
            with pytest.raises(ClusterError, match="another process reads or builds clusters in"):
                build(tmp_path, small_steps(corpus, tmp_path)[:1])
            told.append(done)

    build(tmp_path, small_steps(corpus, tmp_path)[:1], report=meanwhile)
    assert told


def test_no_build_begins_while_its_clusters_are_read(
    corpus: Path, built: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(built, tmp_path / "out"))
    steps = small_steps(corpus, root)
    build(root, steps, about={"of": "a test"})
    with reading(root) as about, reading(root):  # as many as will
        assert about["of"] == "a test"
        with pytest.raises(ClusterError, match="another process reads or builds clusters in"):
            build(root, steps)

    def meanwhile(*_: object) -> None:
        with pytest.raises(ClusterError, match="another process builds clusters in"), reading(root):
            raise AssertionError("two builds might be mixed")

    build(root, steps, report=meanwhile, about={"of": "a test"})
    with reading(root) as about:
        assert about["of"] == "a test"
    with (
        pytest.raises(ClusterError, match="holds no clusters"),
        reading(tmp_path / "none"),
    ):
        pass
    assert not (tmp_path / "none").exists()


def test_a_corpus_of_which_nothing_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"none")
    (folder / "a.txt").write_text("words")
    corpus = open_web_corpus(folder)
    counts = build(tmp_path / "out", steps_of(tmp_path / "out", corpus, SETTINGS))
    assert counts["members"] == {"clusters": 0}


class Builder:
    """Builds in processes of their own that are killed after some time."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.data.clusters.builds"],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
                "OMP_NUM_THREADS": "1",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, corpus: Path, root: Path, held: Path, seconds: float) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        line = json.dumps([str(corpus), str(root), str(held), seconds])
        print(line, file=self._server.stdin, flush=True)
        return int(self._server.stdout.readline())

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()


@pytest.fixture
def builder() -> Iterator[Builder]:
    server = Builder()
    yield server
    server.close()


def test_twenty_kills_at_any_moment_change_no_byte(
    corpus: Path, builder: Builder, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    held.mkdir()
    (held / "a.png").write_bytes((corpus / "star_0.png").read_bytes())
    (held / "b.png").write_bytes(encoded(drawing("wheel", 50)))
    start = time.monotonic()
    assert builder(corpus, tmp_path / "calm", held, 600) == 0
    usual = time.monotonic() - start
    calm = left_of(tmp_path / "calm")
    assert {"build.json", "report.html", f"members/{MEMBERS}", "leaks/00000.jsonl"} < set(calm)
    assert b"star_0.png" not in calm[f"members/{MEMBERS}"]
    rng, kills, builds = random.Random(0), 0, 0
    while kills < KILLS:
        # A build gets about a tenth further each time, and when it has ended another one begins.
        ended = builder(corpus, tmp_path / f"killed{builds}", held, rng.uniform(0, usual / 4))
        assert ended in (0, -9)
        kills += ended == -9
        if ended == 0:
            assert left_of(tmp_path / f"killed{builds}") == calm
            builds += 1
    assert builder(corpus, tmp_path / f"killed{builds}", held, 600) == 0
    assert left_of(tmp_path / f"killed{builds}") == calm


def children_of(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((path / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


BY_TWO = """
import sys
from pathlib import Path
from instruct_imagen.data.clusters.building import build
from tests.data.clusters.builds import small_steps

corpus, root = map(Path, sys.argv[1:])
build(root, small_steps(corpus, root), workers=2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_workers_of_a_killed_build_end_and_change_no_byte(
    corpus: Path, built: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(built, tmp_path / "out"))
    shutil.rmtree(root / "embed")  # four parts, which two processes make
    calm = left_of(built)
    killed = subprocess.Popen(
        [sys.executable, "-c", BY_TWO, str(corpus), str(root)], cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    try:
        # As soon as one has begun: it is in the middle of a part, the other may be, too.
        while killed.poll() is None and len(list((root / "embed").glob(".*.tmp"))) < 1:
            time.sleep(0.005)
        workers = children_of(killed.pid)
        assert killed.poll() is None and len(workers) >= 2
    finally:
        killed.kill()
        killed.wait()
    build(root, small_steps(corpus, root))  # beside those that are still there
    assert left_of(root) == calm
    deadline = time.monotonic() + 120
    while any(map(is_alive, workers)):
        assert time.monotonic() < deadline, "workers outlive their build"
        time.sleep(0.05)
    build(root, small_steps(corpus, root))
    assert left_of(root) == calm


def test_shards_hold_every_pair_once_with_three_others_of_its_cluster(
    corpus: Path, built: Path, tmp_path: Path
) -> None:
    members = built / "members" / MEMBERS
    clusters = read_members(members).num_rows // 5
    job = ClusterJob(
        members=members, clusters=clusters, corpus=open_small(corpus), licence="ours", size=32,
        shard=6,
    )  # fmt: skip
    build_shards(tmp_path / "shards", job)
    examples = list(read_shards(tmp_path / "shards"))
    assert len(examples) == 5 * clusters
    pictures = [example.target.data for example in examples]
    assert len(set(pictures)) == len(pictures)
    for example in examples:
        assert example.task == "retrieval"
        assert [one.marker for one in example.references] == [1, 2, 3]
        assert {one.role for one in example.references} == {None}
        context = {one.image.data for one in example.references}
        assert len(context) == 3
        assert example.target.data not in context
        assert {one.text for one in example.references} == {example.text} == {example.caption}
    build_shards(tmp_path / "again", job, workers=2)
    for path in sorted((tmp_path / "shards").glob("*.tar")):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_images_of_many_examples_are_read_together_in_their_order(
    corpus: Path, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table's rows are decoded a group at a time, which one by one would be done again each."""
    asked: list[list[str]] = []
    real = writing.loader

    def noted(corpus: WebCorpus) -> Loader:
        load = real(corpus)
        return lambda rows: asked.append([row.key for row in rows]) or load(rows)

    monkeypatch.setattr(writing, "loader", noted)
    members = built / "members" / MEMBERS
    job = ClusterJob(
        members=members, clusters=read_members(members).num_rows // 5, corpus=open_small(corpus),
        licence="", size=32,
    )  # fmt: skip
    whole = list(job.opened()(range(3, job.examples)))
    assert [example.index for example in whole] == list(range(3, job.examples))
    (keys,) = asked
    assert keys == sorted(set(keys))
    monkeypatch.setattr(writing, "_BLOCK", 4 * 3 * 32**2 * 2)
    assert list(job.opened()(range(3, job.examples))) == whole
    assert len(asked) == 1 + -(-len(whole) // 2)


def test_an_image_that_was_replaced_is_not_written(
    corpus: Path, built: Path, tmp_path: Path
) -> None:
    members = built / "members" / MEMBERS
    shutil.copytree(corpus, tmp_path / "corpus")
    key = read_members(members)["key"][3].as_py()
    data = bytearray((tmp_path / "corpus" / key).read_bytes())
    data[-1] ^= 1  # of a PNG's end, which no decoder looks at
    (tmp_path / "corpus" / key).write_bytes(data)
    job = ClusterJob(
        members=members, clusters=1, corpus=open_small(tmp_path / "corpus"), licence="", size=32
    )
    with pytest.raises(ShardError, match=f"{key}: the image has changed since the corpus was read"):
        build_shards(tmp_path / "shards", job)


@pytest.mark.parametrize("examples", [5, 10, 135, 1000])
@pytest.mark.parametrize("seed", [0, 1, 53, 97, 12345])
def test_every_pair_is_a_target_once(examples: int, seed: int) -> None:
    found = [order_of(index, examples, seed) for index in range(examples)]
    assert sorted(found) == [(cluster, k) for cluster in range(examples // 5) for k in range(5)]
    if examples > 50:
        near = sum(one[0] == other[0] for one, other in pairwise(found))
        assert near <= examples // 50
