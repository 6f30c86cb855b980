"""Each kind of fault is found by name, and whole shards have none."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from instruct_imagen.data.shards.building import build_shards
from instruct_imagen.data.shards.checking import check_shards
from instruct_imagen.data.shards.layout import read_manifest, sha256_of, write_manifest
from tests.data.shards.jobs import EXAMPLES, SHARDS, small_job

Change = Callable[[dict[str, bytes]], None]


@pytest.fixture
def shards(tmp_path) -> Path:
    folder = tmp_path / "shards"
    build_shards(folder, small_job(ratios={"styled": 1.0}, examples=6, shard=3))
    return folder


def change(folder: Path, how: Change) -> None:
    """Writes the first shard anew with other members, and a manifest that agrees."""
    path = folder / "00000.tar"
    with tarfile.open(path) as tar:
        members = {one.name: tar.extractfile(one).read() for one in tar}
    how(members)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            one = tarfile.TarInfo(name)
            one.size = len(content)
            tar.addfile(one, io.BytesIO(content))
    manifest = read_manifest(folder)
    entry = replace(manifest.shards[0], sha256=sha256_of(path))
    write_manifest(folder, replace(manifest, shards=(entry, *manifest.shards[1:])))


def without_reference(members: dict[str, bytes]) -> None:
    del members["000000001.ref1.png"]


def without_target(members: dict[str, bytes]) -> None:
    del members["000000001.target.png"]


def marker_of_nothing(members: dict[str, bytes]) -> None:
    about = json.loads(members["000000001.json"])
    about["text"] += " Mind [ref#7]."
    members["000000001.json"] = json.dumps(about).encode()


def broken_image(members: dict[str, bytes]) -> None:
    members["000000001.ref1.png"] = members["000000001.ref1.png"][:60]


def other_size(members: dict[str, bytes]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    members["000000001.target.png"] = buffer.getvalue()


def stray_reference(members: dict[str, bytes]) -> None:
    # Neighbours make a sample, so it is put beside its own.
    rest = {name: members.pop(name) for name in list(members) if name >= "000000001.target"}
    members["000000001.ref9.png"] = members["000000001.ref1.png"]
    members.update(rest)


def no_json(members: dict[str, bytes]) -> None:
    members["000000001.json"] = b"{"


def one_less(members: dict[str, bytes]) -> None:
    for name in list(members):
        if name.startswith("000000002"):
            del members[name]


@pytest.mark.parametrize(
    ("how", "line"),
    [
        (without_reference, "00000/000000001.ref1.png is missing, which the example refers to"),
        (without_target, "00000/000000001.target.png is missing"),
        (marker_of_nothing, "00000/000000001: the text names [ref#7], and no reference has"),
        (broken_image, "00000/000000001.ref1.png: truncated or broken image"),
        (other_size, "00000/000000001.target.png: 8 × 8 pixels, the example says 16"),
        (stray_reference, "00000/000000001.ref9.png belongs to no reference"),
        (no_json, "00000/000000001.json is no JSON"),
        (one_less, "00000.tar has 2 examples, the manifest says 3"),
    ],
)
def test_a_fault_is_found_and_named(shards, how, line):
    assert check_shards(shards).faults == 0
    change(shards, how)
    report = check_shards(shards)
    assert report.faults == 1, report.first
    assert report.first[0].startswith(line)


def test_faults_of_files_are_found(shards):
    content = (shards / "00000.tar").read_bytes()
    (shards / "00000.tar").write_bytes(content + bytes(512))
    (shards / "00001.tar").unlink()
    (shards / "00002.tar").write_bytes(content)
    report = check_shards(shards)
    found = [line.partition("/shards/")[2] for line in report.first]
    assert [line[:20] for line in found] == [
        "00000.tar is damaged",
        "00001.tar is missing",
        "00002.tar is not in ",
    ]


def test_counts_are_those_of_the_stream(tmp_path):
    job = small_job()
    build_shards(tmp_path / "all", job)
    report = check_shards(tmp_path / "all")
    assert (report.shards, report.examples, report.faults) == (SHARDS, EXAMPLES, 0)
    expected: dict[str, dict[str, Counter[int]]] = {}
    for example in job.mixture().examples(0, EXAMPLES):
        own = expected.setdefault(example.task, {"references": Counter(), "words": Counter()})
        own["references"][len(example.references)] += 1
        own["words"][len(example.caption.split())] += 1
    assert {name: vars(counts) for name, counts in report.tasks.items()} == expected
    assert list(report.tasks) == sorted(expected)
