"""Every data set -> every task of it -> shards: whole, exact, and a function of the settings."""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from instruct_imagen.cli import main
from instruct_imagen.data.annotators.depth import Depth
from instruct_imagen.data.annotators.mask import Mask
from instruct_imagen.data.corpora import CorpusError, all_corpora
from instruct_imagen.data.corpus_tasks import CorpusTaskError, corpus_job
from instruct_imagen.data.corpus_tasks.registry import makers_of
from instruct_imagen.data.shards.building import build_shards
from instruct_imagen.data.shards.checking import check_shards
from instruct_imagen.data.shards.layout import ShardError, read_manifest
from instruct_imagen.data.shards.reading import read_shards
from tests.data.annotators.test_depth import depth_anything, saved
from tests.data.annotators.test_mask import segformer
from tests.data.corpora.layouts import LAYOUTS, Numbered, encoded, write
from tests.data.shards.jobs import files_of

PAIRS = [(name, task) for name, one in all_corpora().items() for task in makers_of(one.record)]
NONE = {("dreambench_plus", "subject"), ("magicbrush", "masked_edit")}
"""One image a subject; masks of the tiny layout that mark nothing."""


@pytest.fixture(scope="session")
def networks(tmp_path_factory):
    """Tiny networks of the real classes, by role."""
    folder = tmp_path_factory.mktemp("networks")
    segformer(folder / "mask", {0: "wall", 1: "cat", 2: "background"})
    return {
        "depth": Depth(model=saved(folder / "depth", depth_anything)),
        "mask": Mask(model=str(folder / "mask")),
    }


@pytest.fixture(scope="session")
def laid(tmp_path_factory):
    """All data sets, each in a folder of its name."""
    folder = tmp_path_factory.mktemp("corpora")
    for name, writer in LAYOUTS.items():
        writer(folder / name, Numbered())
    return folder


def job_of(laid, name, task, networks=None, **settings):
    role = task.removesuffix("_to_image")
    chosen = {role: networks[role]} if networks and role in networks else {}
    settings = {"size": 16, "shard": 4, **settings}
    return corpus_job(name, laid / name, task, annotators=chosen, **settings)


def test_every_data_set_makes_a_task():
    assert {name for name, _ in PAIRS} == set(all_corpora())
    assert {task for _, task in PAIRS} >= {
        "text_to_image", "depth_to_image", "mask_to_image", "edge_to_image", "sketch_to_image",
        "subject", "face", "styled", "masked_edit", "instruction_edit",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_shards_of_every_data_set_are_whole_and_go_on(tmp_path, laid, networks, name, task):
    if (name, task) in NONE:
        with pytest.raises(CorpusTaskError, match=f"gives no {task}: of its"):
            job_of(laid, name, task)
        return
    job = job_of(laid, name, task, networks)
    build_shards(tmp_path / "whole", job)
    report = check_shards(tmp_path / "whole")
    assert (report.faults, report.examples) == (0, len(job.plan)), report.first
    assert set(report.tasks) == {task}
    for example in read_shards(tmp_path / "whole"):
        named = [int(k) for k in re.findall(r"\[ref#(\d+)\]", example.text)]
        assert sorted(set(named)) == sorted({one.marker for one in example.references})
        assert bool(example.references) == (not task.startswith("text_to_image"))
        assert example.target.data not in {one.image.data for one in example.references}
        assert not re.search(r"[{}]", example.text)

    class Stop(Exception):
        pass

    def stop(made):
        raise Stop

    again = job_of(laid, name, task, networks)
    with pytest.raises(Stop):
        build_shards(tmp_path / "parts", again, report=stop)
    fates = []
    build_shards(tmp_path / "parts", again, report=fates.append)
    assert fates[0].fate == "kept" and {one.fate for one in fates[1:]} <= {"built"}
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("celeba", "face"),  # a listing, shuffled
        ("captioned_tars", "mask_to_image"),  # in the tars' order, with a network
        ("wikiart", "styled"),  # groups
    ],
)
def test_any_number_of_workers_writes_the_same_bytes(tmp_path, laid, networks, name, task):
    job = job_of(laid, name, task, networks, shard=2)
    build_shards(tmp_path / "one", job)
    build_shards(tmp_path / "two", job, workers=2)
    assert files_of(tmp_path / "two") == files_of(tmp_path / "one")


def test_a_job_travels_without_what_its_annotators_have_loaded(laid, networks):
    job = job_of(laid, "captioned_folder", "depth_to_image", networks)
    before = next(job.opened()(range(3, 4)))
    assert len(pickle.dumps(job)) < 20_000
    assert next(pickle.loads(pickle.dumps(job)).opened()(range(3, 4))) == before


def test_passes_show_each_target_once_in_another_order_and_with_other_words(laid):
    job = job_of(laid, "captioned_folder", "text_to_image", examples=24, size=8)
    found = list(job.opened()(range(24)))
    passes = [[one.target.data for one in found[start : start + 8]] for start in (0, 8, 16)]
    assert set(passes[0]) == set(passes[1]) == set(passes[2]) and len(set(passes[0])) == 8
    assert passes[0] != passes[1] and passes[1] != passes[2]
    assert len({one.text for one in found}) > 12
    other = job_of(laid, "captioned_folder", "text_to_image", seed=1, size=8)
    assert [one.target.data for one in other.opened()(range(8))] != passes[0]


def test_what_cannot_be_walked_comes_in_its_own_order(laid):
    found = job_of(laid, "captioned_tars", "text_to_image").opened()(range(12))
    keys = [f"picture {shard:05d}{number:04d}" for shard in range(3) for number in range(4)]
    assert [one.caption for one in found] == keys


def test_any_example_can_be_made_alone(laid):
    for name, task in (("captioned_tars", "edge_to_image"), ("custom_concept101", "subject")):
        job = job_of(laid, name, task)
        whole = list(job.opened()(range(len(job.plan))))
        make = job.opened()
        for index in reversed(range(len(whole))):
            assert next(make(range(index, index + 1))) == whole[index]


def test_broken_files_are_passed_over_and_too_many_are_an_error(tmp_path):
    LAYOUTS["captioned_folder"](tmp_path / "some", Numbered(lambda number: number == 3))
    job = corpus_job("captioned_folder", tmp_path / "some", "text_to_image", size=16)
    assert (job.plan.records, job.plan.problems, len(job.plan)) == (7, 1, 7)
    for number in range(12):
        write(tmp_path / "many" / f"{number}.png", encoded(number, size=64)[:-30])  # ends early
        write(tmp_path / "many" / f"{number}.txt", "a picture")
    with pytest.raises(CorpusError, match="11 problems in 11 entries"):
        corpus_job("captioned_folder", tmp_path / "many", "text_to_image", size=16)


def test_a_data_set_that_changed_is_refused(tmp_path):
    folder = tmp_path / "own"
    LAYOUTS["captioned_folder"](folder, Numbered())
    job = corpus_job("captioned_folder", folder, "text_to_image", size=16)
    build_shards(tmp_path / "out", job)
    write(folder / "00000" / "2.txt", "another picture")
    other = corpus_job("captioned_folder", folder, "text_to_image", size=16)
    with pytest.raises(ShardError, match="other content: the code, the artwork, the data set"):
        build_shards(tmp_path / "out", other)
    (folder / "00000" / "2.txt").unlink()
    with pytest.raises(ShardError, match="entry 2 of captioned_folder has changed since"):
        list(job.opened()(range(8)))
    folder.rename(tmp_path / "moved")
    write(tmp_path / "moved" / "00000" / "2.txt", "picture 2")
    moved = corpus_job("captioned_folder", tmp_path / "moved", "text_to_image", size=16)
    build_shards(tmp_path / "out", moved)  # where it lies does not matter


def test_the_manifest_says_what_was_read_and_not_where(tmp_path, laid):
    build_shards(tmp_path / "out", job_of(laid, "celeba", "face"))
    text = (tmp_path / "out" / "manifest.json").read_text()
    assert str(laid) not in text
    manifest = read_manifest(tmp_path / "out")
    source = manifest.sources["celeba"]
    assert source["folder"] == "celeba" and "non-commercial" in source["licence"]
    assert source["sha256"] == manifest.settings["content"]
    assert manifest.settings["corpus"] == "celeba" and manifest.settings["ratios"] == {"face": 1.0}


def test_annotators_must_fit_the_task(laid, networks):
    with pytest.raises(CorpusTaskError, match="needs a network that finds depth"):
        job_of(laid, "captioned_folder", "depth_to_image")
    with pytest.raises(CorpusTaskError, match="text_to_image uses no mask: it needs no annotator"):
        corpus_job(
            "captioned_folder", laid / "captioned_folder", "text_to_image",
            annotators={"mask": networks["mask"]}, size=16,
        )  # fmt: skip
    with pytest.raises(CorpusTaskError, match=r"no face is made of wikiart.*of celeba, celeba_hq"):
        job_of(laid, "wikiart", "face")


def test_other_annotators_are_other_settings(tmp_path, laid, networks):
    job = job_of(laid, "captioned_folder", "depth_to_image", networks)
    build_shards(tmp_path / "out", job)
    far = replace(job, annotators={"depth": replace(networks["depth"], large="far")})
    with pytest.raises(ShardError, match="built with annotators="):
        build_shards(tmp_path / "out", far)


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and len(error.strip().splitlines()) == 1, error
    return error


def test_the_command_builds_and_checks(tmp_path, laid, capsys):
    build = ["tasks", "build", str(tmp_path / "out"), f"--corpus=celeba_hq={laid / 'celeba_hq'}"]
    main([*build, "--task", "face", "--size", "16"])
    printed = capsys.readouterr().out
    assert "celeba_hq: 4 records, 0 problems; 7 targets, 1 records give none" in printed
    assert "7 examples in 1 shard," in printed
    main(["tasks", "check", str(tmp_path / "out")])
    assert "faults: 0" in capsys.readouterr().out
    edges = ["tasks", "build", tmp_path / "edges", "--corpus", f"wikiart={laid / 'wikiart'}"]
    assert "no edge_to_image is made of wikiart" in refused(
        capsys, *edges, "--task", "edge_to_image"
    )
    folder = f"captioned_folder={laid / 'captioned_folder'}"
    edges = [*edges[:-1], folder, "--task", "edge_to_image", "--size", "16"]
    assert "two annotators find edge" in refused(
        capsys, *edges, "--annotator", "canny", "--annotator", "edge"
    )
    assert "unknown annotator 'hed'" in refused(capsys, *edges, "--annotator", "hed")
    main([str(word) for word in (*edges, "--annotator", "canny,low=10,high=20")])
    settings = json.loads((tmp_path / "edges" / "manifest.json").read_text())["settings"]
    assert '"low": 10.0' in settings["annotators"]["edge"]
    bare = ["tasks", "build", tmp_path / "no"]
    assert "--corpus needs --task" in refused(capsys, *bare, "--corpus", folder)
    assert "NAME=FOLDER" in refused(capsys, *bare, "--corpus", "wikiart")
    assert "is for --corpus" in refused(capsys, *bare, "--annotator", "canny")
    assert "--recipe is for the starter world" in refused(
        capsys, *bare, "--corpus", folder, "--task", "text_to_image", "--recipe", "small"
    )
    assert "has no option 'split'" in refused(
        capsys, *bare, "--corpus", folder, "--task", "text_to_image", "split=train"
    )


def test_pictures_are_the_squares_of_the_images(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 3), dtype=np.uint8)
    (tmp_path / "own").mkdir()
    Image.fromarray(pixels).save(tmp_path / "own" / "a.png")
    write(tmp_path / "own" / "a.txt", "A [wide] {picture}.")
    job = corpus_job("captioned_folder", tmp_path / "own", "text_to_image", size=20)
    (found,) = job.opened()(range(1))
    assert np.array_equal(np.asarray(found.target.load()), pixels[:, 6:26])
    assert found.caption == "a (wide) (picture)" and "(wide) (picture)" in found.text
