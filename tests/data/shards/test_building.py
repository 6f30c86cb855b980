"""Shards are a function of the job: not of the workers, and not of a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from instruct_imagen.data.example import Picture
from instruct_imagen.data.photographs import Photographs
from instruct_imagen.data.shards.building import Made, build_shards
from instruct_imagen.data.shards.layout import (
    ShardError,
    read_manifest,
    sha256_of,
    write_manifest,
)
from instruct_imagen.data.shards.reading import read_shards
from instruct_imagen.data.tasks import all_tasks
from instruct_imagen.data.tasks.my_subject import MySubject
from instruct_imagen.data.world.render import render_pictures
from tests.data.shards.jobs import EXAMPLES, SHARD, SHARDS, Killer, files_of, small_job

NAMES = {f"{number:05d}.tar" for number in range(SHARDS)} | {"manifest.json"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "whole"
    build_shards(folder, small_job())
    return folder


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    made = Killer()
    yield made
    made.close()


def test_any_number_of_workers_writes_the_same_bytes(tmp_path, whole):
    """Three here, two where photographs are written and where a worker is killed."""
    build_shards(tmp_path / "other", small_job(), workers=3)
    assert files_of(tmp_path / "other") == files_of(whole)
    assert set(files_of(whole)) == NAMES


@pytest.mark.parametrize(
    ("workers", "place", "number"),
    [
        (1, "example", 2),
        (1, "example", 24),
        (1, "tar", 1),
        (1, "tar", 5),
        (1, "note", 1),
        (1, "note", 3),
        (1, "report", 2),
        (1, "report", 5),
        (1, "manifest", 1),
        (2, "report", 1),
        (3, "report", 3),
    ],
)
def test_a_killed_build_goes_on_to_the_same_bytes(tmp_path, whole, killer, workers, place, number):
    folder = tmp_path / "killed"
    assert killer(folder, workers, place, number) == -signal.SIGKILL
    left = {path.name for path in folder.iterdir()}
    if place in ("example", "tar", "note"):
        assert any(name.endswith(".tmp") for name in left), "killed within a shard"
        assert f"{number - 1 if place != 'example' else (number - 1) // SHARD:05d}.tar" not in left
    fates: list[Made] = []
    build_shards(folder, small_job(), workers=workers, report=fates.append)
    assert files_of(folder) == files_of(whole)
    if workers == 1:
        ready = {"example": (number - 1) // SHARD, "tar": number - 1, "note": number - 1}
        kept = ready.get(place, number if place == "report" else SHARDS)
        assert [made.fate for made in fates] == ["kept"] * kept + ["built"] * (SHARDS - kept)
    else:
        assert {"rebuilt"}.isdisjoint(made.fate for made in fates)
        assert any(made.fate == "kept" for made in fates)


def test_a_second_build_in_a_folder_is_refused(tmp_path, whole):
    """Not of another process here, but of another opening, which the system tells apart, too."""
    refused = []

    def again(made: Made) -> None:
        with pytest.raises(ShardError, match=r"another process builds shards in .* wait for it"):
            build_shards(tmp_path / "same", small_job())
        refused.append(made.number)

    build_shards(tmp_path / "same", small_job(), report=again)
    assert refused == list(range(SHARDS))
    assert files_of(tmp_path / "same") == files_of(whole)
    build_shards(tmp_path / "same", small_job())


def test_a_damaged_or_missing_shard_is_named_and_made_again(tmp_path, whole):
    folder = tmp_path / "damaged"
    shutil.copytree(whole, folder)
    path = folder / "00001.tar"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (folder / "00003.tar").unlink()
    fates: list[Made] = []
    build_shards(folder, small_job(), report=fates.append)
    assert [made.fate for made in fates] == ["kept", "rebuilt", "kept", "built", "kept"]
    assert fates[1].entry.file == "00001.tar"
    assert files_of(folder) == files_of(whole)


def test_a_damaged_shard_of_an_unfinished_build_is_made_again(tmp_path, whole):
    folder = tmp_path / "unfinished"

    class Stop(Exception):
        pass

    def stop(made: Made) -> None:
        if made.number == 2:
            raise Stop

    with pytest.raises(Stop):
        build_shards(folder, small_job(), report=stop)
    path = folder / "00000.tar"
    path.write_bytes(path.read_bytes()[:-512] + bytes(511) + b"x")
    fates: list[Made] = []
    build_shards(folder, small_job(), report=fates.append)
    assert [made.fate for made in fates] == ["rebuilt", "kept", "kept", "built", "built"]
    assert files_of(folder) == files_of(whole)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 4}, "seed=3, not 4"),
        ({"size": 32}, "size=16, not 32"),
        ({"examples": 41}, "examples=40, not 41"),
        ({"shard": 10}, "shard=9, not 10"),
        ({"ratios": {"styled": 1.0}}, "ratios="),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path, whole, changes, words):
    before = files_of(whole)
    with pytest.raises(ShardError, match=words):
        build_shards(whole, small_job(**changes))
    assert files_of(whole) == before
    (tmp_path / "settings.json").write_bytes(
        json.dumps({**json.loads((whole / "manifest.json").read_bytes())["settings"]}).encode()
    )
    with pytest.raises(ShardError, match=words):
        build_shards(tmp_path, small_job(**changes))


def test_other_code_is_refused(whole):
    """A task that makes other examples under the same settings."""

    class Other:
        name = "styled"
        forms = all_tasks()["styled"].forms

        def example(self, rng, vocabulary):
            rng.random()
            return all_tasks()["styled"]().example(rng, vocabulary)

    with pytest.raises(ShardError, match="other first examples: the code"):
        build_shards(whole, small_job(tasks={**all_tasks(), "styled": Other}))


def test_a_shard_that_comes_out_otherwise_does_not_replace_what_was_there(tmp_path, whole):
    folder = tmp_path / "other"
    shutil.copytree(whole, folder)
    manifest = read_manifest(folder)
    entry = replace(manifest.shards[4], sha256="0" * 64)
    write_manifest(folder, replace(manifest, shards=(*manifest.shards[:4], entry)))
    before = files_of(folder)
    with pytest.raises(ShardError, match=r"00004\.tar comes out other"):
        build_shards(folder, small_job())
    assert files_of(folder) == before


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ShardError, match=r"letter\.txt"):
        build_shards(tmp_path, small_job())
    assert set(files_of(tmp_path)) == {"letter.txt"}


def test_a_worker_that_fails_is_one_line_and_leaves_no_draft(tmp_path, whole):
    shutil.copytree(whole, tmp_path / "full")
    (tmp_path / "full" / "00001.tar").unlink()
    (tmp_path / "full" / "00001.tar").mkdir()  # no file can take this name
    with pytest.raises(ShardError, match=r"00001\.tar: Is a directory"):
        build_shards(tmp_path / "full", small_job(), workers=2)
    assert not [name for name in (tmp_path / "full").glob(".*")]


def test_a_worker_that_is_killed_is_one_line_and_the_next_build_goes_on(tmp_path):
    """Its task kills a worker at its 20th example."""
    folder = tmp_path / "killed"
    job = small_job(ratios={"styled": 1.0})
    deadly = replace(job, tasks={"styled": partial(Deadly, os.getpid())})
    with pytest.raises(ShardError, match="a worker ended with status -9: run the same command"):
        build_shards(folder, deadly, workers=2)
    assert not list(folder.glob(".*"))
    build_shards(folder, job)
    build_shards(tmp_path / "other", job, workers=2)
    assert files_of(folder) == files_of(tmp_path / "other")


class Deadly:
    """`styled`, but kills each process that is not the given one and asks for much."""

    name = "styled"
    forms = all_tasks()["styled"].forms

    def __init__(self, harmless: int) -> None:
        self._harmless, self._made = harmless, 0

    def example(self, rng, vocabulary):
        self._made += 1
        if self._made == 20 and os.getpid() != self._harmless:
            os.kill(os.getpid(), signal.SIGKILL)
        return all_tasks()["styled"]().example(rng, vocabulary)


def test_the_layout_is_webdatasets_and_tells_nothing_of_its_writer(whole):
    with tarfile.open(whole / "00000.tar") as tar:
        members = tar.getmembers()
        for member in members:
            assert member.isreg()
            assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
            assert (member.uname, member.gname) == ("", "")
        content = tar.extractfile("000000004.json")
        about = json.loads(content.read())
    job = small_job()
    example = job.mixture().example(4)
    assert about == {
        "index": 4,
        "task": example.task,
        "text": example.text,
        "caption": example.caption,
        "size": 16,
        "references": [
            {"marker": one.marker, "text": one.text, "role": one.role, "file": f"ref{k}.png"}
            for k, one in enumerate(example.references, start=1)
        ],
    }
    names = [member.name for member in members if member.name.startswith("000000004.")]
    files = [f"ref{k}.png" for k in range(1, len(example.references) + 1)]
    assert names == [f"000000004.{end}" for end in ("json", *files, "target.png")]


def test_shards_hold_the_very_pixels_that_training_from_the_world_sees(whole):
    job = small_job()
    found = list(read_shards(whole))
    assert len(found) == EXAMPLES
    kinds = set()
    for stored, example in zip(found, job.mixture().examples(0, EXAMPLES), strict=True):
        assert (stored.task, stored.text, stored.caption) == (
            example.task,
            example.text,
            example.caption,
        )
        pictures = [*(one.picture for one in example.references), example.target]
        images = [*(one.image for one in stored.references), stored.target]
        pixels = render_pictures(pictures, job.atlas, 16).permute(0, 2, 3, 1).numpy()
        for picture, image, own in zip(pictures, images, pixels, strict=True):
            assert np.array_equal(np.asarray(image.load()), own)
            kinds.add(picture.kind)
    assert kinds >= {"image", "edge", "mask", "depth"}


def test_photographs_are_jpeg_as_references_and_exact_as_targets(tmp_path):
    generator = torch.Generator().manual_seed(0)
    soft = torch.randint(0, 256, (3, 3, 4, 4), dtype=torch.uint8, generator=generator)
    pixels = soft.repeat_interleave(4, 2).repeat_interleave(4, 3)
    photographs = Photographs(
        subject="clay dog", pixels=pixels, captions=("a", "b", "c"), sha256="f" * 64
    )
    tasks = {MySubject.name: partial(MySubject, "clay dog", photographs.captions)}
    ratios = {MySubject.name: 1.0}
    job = small_job(tasks=tasks, ratios=ratios, photographs=photographs, examples=12)
    build_shards(tmp_path / "own", job)
    given = {picture.permute(1, 2, 0).numpy().tobytes() for picture in pixels}
    seen = 0
    for example in read_shards(tmp_path / "own"):
        drawn = job.mixture().example(example.index)
        for reference, own in zip(example.references, drawn.references, strict=True):
            assert reference.image.name.endswith(
                ".png" if isinstance(own.picture, Picture) else ".jpg"
            )
            seen += reference.image.name.endswith(".jpg")
        assert np.asarray(example.target.load()).tobytes() in given
    assert seen
    build_shards(tmp_path / "two", job, workers=2)
    assert files_of(tmp_path / "two") == files_of(tmp_path / "own")
    manifest = json.loads((tmp_path / "own" / "manifest.json").read_bytes())
    assert manifest["sources"]["photographs"]["sha256"] == "f" * 64


def test_the_manifest_names_settings_sources_and_hashes(whole):
    manifest = json.loads((whole / "manifest.json").read_bytes())
    assert manifest["examples"] == EXAMPLES
    assert manifest["settings"]["seed"] == 3
    assert manifest["sources"]["flat"]["licence"] == "Apache-2.0"
    assert [row["examples"] for row in manifest["shards"]] == [9, 9, 9, 9, 4]
    for row in manifest["shards"]:
        assert sha256_of(whole / row["file"]) == row["sha256"]
        assert (whole / row["file"]).stat().st_size == row["bytes"]
