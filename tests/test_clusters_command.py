"""`instruct-imagen clusters`: what it prints, and one line for what cannot be done."""

from __future__ import annotations

import contextlib
import fcntl
import json
from functools import lru_cache
from pathlib import Path

import pytest

from instruct_imagen.cli import main
from instruct_imagen.cli.cluster_settings import known_settings, settings_from
from instruct_imagen.cli.errors import UsageError
from instruct_imagen.data.clusters import settings as building
from instruct_imagen.data.clusters import settings as settings_module
from instruct_imagen.data.clusters.holdouts import open_holdout
from instruct_imagen.data.clusters.reading import open_web_corpus
from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.data.clusters.settings import steps_of
from instruct_imagen.data.clusters.steps.members import Members
from instruct_imagen.data.shards.reading import read_shards
from tests.data.clusters.builds import write_corpus


def test_from_a_corpus_to_shards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_corpus(tmp_path / "corpus")
    build = ["clusters", "build", str(tmp_path / "corpus"), str(tmp_path / "out")]
    main([*build, "filters.min_side=48", "filters.min_quality=0.2", "least=0.4"])
    printed = capsys.readouterr()
    assert "words: kept 32, too small 1\n" in printed.out
    assert "blank 1" in printed.out
    assert "  zz_silent.png: no caption in zz_silent.txt beside it\n" in printed.err
    shards = tmp_path / "shards"
    main(
        ["clusters", "write", str(tmp_path / "out"), str(shards), "--size", "32", "--clusters", "2"]
    )
    assert capsys.readouterr().out == f"{shards}: 10 examples of 2 clusters\n"
    assert len(list(read_shards(shards))) == 10
    (tmp_path / "corpus").rename(tmp_path / "elsewhere")
    with pytest.raises(SystemExit) as ended:
        main(["clusters", "write", str(tmp_path / "out"), str(tmp_path / "more")])
    assert ended.value.code == 2
    assert "build again from where it lies now" in capsys.readouterr().err


def test_a_rebuild_that_ended_early_leaves_no_clusters_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path / "corpus")
    out = str(tmp_path / "out")
    given = ["filters.min_side=48", "filters.min_quality=0.2", "least=0.4"]

    def build(*more: str) -> None:
        main(["clusters", "build", str(tmp_path / "corpus"), out, *given, *more])
        capsys.readouterr()

    def write(name: str) -> str:
        with contextlib.suppress(SystemExit):
            main(["clusters", "write", out, str(tmp_path / name), "--clusters", "1"])
        printed = capsys.readouterr()
        return printed.out + printed.err

    build()
    build("--until", "words")  # in which all is done already
    assert write("whole").endswith("5 examples of 1 clusters\n")
    refused = f"instruct-imagen: the last build in {out} has not come to its end, and its clusters"
    build("filters.min_side=40", "--until", "words")
    assert write("none").startswith(refused)
    assert not (tmp_path / "none").exists()
    build("least=0.45", "--until", "read")  # which leaves no step undone that it looks at
    assert write("none").startswith(refused)
    build()
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "a.png").write_bytes((tmp_path / "corpus" / "star_0.png").read_bytes())
    build("--holdout", str(tmp_path / "test"), "--until", "read")  # not looked for yet
    assert write("none").startswith(refused)
    build()
    assert write("again").endswith("5 examples of 1 clusters\n")

    def full(*_: object) -> None:
        raise ClusterError("the disk is full")

    (tmp_path / "corpus" / "star_0.txt").write_text("a fallen star")
    monkeypatch.setattr(Members, "make", full)
    with pytest.raises(SystemExit):
        build()
    assert write("none").startswith("instruct-imagen: the disk is full\n" + refused)
    monkeypatch.undo()
    build()
    (tmp_path / "out" / "members" / "all.arrow").write_bytes(b"")
    assert write("none").startswith(refused)


def test_a_build_keeps_the_dtype_that_it_began_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path / "corpus")
    build = ["clusters", "build", str(tmp_path / "corpus"), str(tmp_path / "out")]

    def built_with(fast: str, *given: str) -> tuple[str, str]:
        monkeypatch.setattr(settings_module, "fast_dtype", lambda device: fast)
        main([*build, "--until", "embed", *given])
        manifest = json.loads((tmp_path / "out" / "embed" / "00000.json").read_bytes())
        return manifest["settings"]["images"].split()[4], capsys.readouterr().err

    assert built_with("float32")[0] == "float32"
    dtype, told = built_with("bfloat16")
    assert dtype == "float32"
    line = "dtype=float32, with which this build began; dtype=bfloat16 would be faster on this "
    assert line in told
    assert built_with("bfloat16", "dtype=bfloat16")[0] == "bfloat16"
    assert built_with("float32")[0] == "bfloat16"
    noted = (tmp_path / "out" / "dtype.json").read_bytes()
    with (tmp_path / "out" / ".lock").open("r+") as lock:  # as another build at work has it
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SystemExit):
            built_with("float32", "dtype=float32")
    assert "another process reads or builds clusters in" in capsys.readouterr().err
    assert (tmp_path / "out" / "dtype.json").read_bytes() == noted
    # Another build has begun and ended between the look at the note and the lock.
    late = settings_from(["dtype=float32"], None)
    with pytest.raises(ClusterError, match="has chosen dtype=bfloat16 since this one began"):
        settings_module.keep_dtype(tmp_path / "out", late, stated=False)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["build", "nothing", "out"], "nothing"),
        (["build", "corpus", "out", "--until", "bake"], "--until must be one of read, words, "),
        (["build", "corpus", "out", "leest=1"], "did you mean least?"),
        (["build", "corpus", "out", "least"], "'least' is no setting: write key=value"),
        (["build", "corpus", "out", "filters.blank=3"], "filter: blank=3.0 must be from 0 to 1"),
        (["build", "corpus", "out", "--domains", "list.json"], "list.json must be like"),
        (["build", "corpus", "out", "--holdout", "."], "--holdout . holds CORPUS itself"),
        (["build", "corpus", "out", "--holdout", "test"], "the hold-out 'test' is no folder"),
        (["build", "corpus", "a/out", "--holdout", "a"], "OUT is inside --holdout a: name another"),
        (["build", "corpus", "out", "--holdout", "a", "--holdout", "b/a"], "rename one"),
        (["build", "corpus", "out", "holdout.correlation=0.9"], "there is none: name one with"),
        (["write", "corpus", "out"], "holds no clusters: build them first"),
    ],
)
def test_one_line_says_what_is_wrong(
    arguments: list[str],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "corpus")
    (tmp_path / "list.json").write_text('["art"]')
    for held in ("a", "b/a"):
        (tmp_path / held).mkdir(parents=True)
        (tmp_path / held / "x.png").write_bytes((tmp_path / "corpus" / "star_0.png").read_bytes())
    with pytest.raises(SystemExit) as ended:
        main(["clusters", *arguments])
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert line in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "out").exists() and not (tmp_path / "a" / "out").exists()


def test_every_setting_makes_a_step_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(tmp_path / "corpus")
    corpus = open_web_corpus(tmp_path / "corpus")
    monkeypatch.setattr(building, "encoders_of", lru_cache(building.encoders_of))
    networks = {"dtype": "bfloat16", "device": "cuda", "quality_model": "nima"}

    def steps(*given: str) -> object:
        held = [open_holdout(tmp_path / "corpus")]
        found = steps_of(tmp_path / "out", corpus, settings_from(given, None), holdouts=held)
        if given[-1].partition("=")[0] in networks:  # told by weights, which are not there
            return repr(found)
        return [(step.name, dict(step.settings())) for step in found]

    usual = steps("dtype=float32", "seed=0")
    values = {int: "5", float: "0.45", bool: "true"}
    named = {"filters.max_aspect": "2", **networks}
    for key, kind in known_settings().items():
        if key == "image_model":
            with pytest.raises(ClusterError, match="nowhere/clip"):
                steps("image_model=nowhere/clip")
            continue
        value = named.get(key) or values[kind]
        assert steps("dtype=float32", f"{key}={value}") != usual, key
    assert steps("dtype=float32", "seed=0") == usual


def test_domains_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "domains.json"
    path.write_text(json.dumps({"cats": ["a cat"], "dogs": ["a dog", "a puppy"]}))
    found = settings_from([], path).domains.domains
    assert [(one.name, one.prompts) for one in found] == [
        ("cats", ("a cat",)),
        ("dogs", ("a dog", "a puppy")),
    ]
    path.write_text(json.dumps({"cats": ["a cat"]}))
    with pytest.raises(ClusterError, match="at least two"):
        settings_from([], path)
    path.write_text("{")
    with pytest.raises(UsageError, match="is no JSON"):
        settings_from([], path)
