"""`instruct-imagen rate` and `instruct-imagen ratings`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from instruct_imagen.cli import main
from instruct_imagen.cli.rate import answered, image_size, method_folders
from instruct_imagen.evaluation.rating.storage import Rating, Store
from tests.evaluation.rating.small import small_cases, write_images

ROOT = Path(__file__).parents[1]


def fails(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert len(error.strip().splitlines()) == 1, error
    return error


@pytest.fixture
def store(tmp_path):
    """Three raters, two models, six cases."""
    made = Store(tmp_path / "r.sqlite")
    for number in range(6):
        for method, shift in (("ours", 0), ("theirs", 1)):
            for rater in ("ann", "bob", "carl"):
                sc = (number + shift) % 3 / 2
                pq = 1.0 if rater == "carl" else number % 2 / 2
                rating = Rating(case=f"t/{number}", method=method, rater=rater, sc=sc, pq=pq)
                made.add(rating, f"{rating.key}")
    return made


def kept(store):
    return {replace(rating, at=0.0) for rating in store.ratings()}


def test_export_and_import_keep_every_rating(tmp_path, store, capsys):
    main(["ratings", "export", str(store.path), str(tmp_path / "tsv")])
    paths = capsys.readouterr().out.split()
    assert paths == [str(tmp_path / "tsv/t" / f"t_{rater}.tsv") for rater in ("ann", "bob", "carl")]
    other = tmp_path / "new" / "other.sqlite"
    main(["ratings", "import", str(other), str(tmp_path / "tsv")])
    assert "36 ratings stored, 0 were there, from 3 files" in capsys.readouterr().out
    assert kept(Store(other)) == kept(store)
    main(["ratings", "import", str(other), *paths])
    assert "0 ratings stored, 36 were there" in capsys.readouterr().out


def test_an_import_with_a_fault_stores_nothing(tmp_path, store, capsys):
    good, bad = tmp_path / "t_dora.tsv", tmp_path / "t_emil.tsv"
    good.write_text("uid\tours\n0\t[1, 1]\n")
    bad.write_text("uid\tours\n0\t[1, 3]\n")
    error = fails(capsys, "ratings", "import", store.path, good, bad)
    assert f"{bad}: line 2, ours: must be [SC, PQ]" in error
    assert len(store.ratings()) == 36
    assert "no ratings at" in fails(capsys, "ratings", "export", tmp_path / "none", tmp_path / "o")


def test_agreement_prints_means_and_alpha(tmp_path, store, capsys):
    main(["ratings", "agreement", str(store.path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["model", "images", "ratings", "SC", "PQ", "O"]
    assert lines[1].split()[:5] == ["ours", "6", "18", "0.500", "0.500"]
    assert lines[4] == "between 3 raters, Krippendorff's α (ordinal):"
    assert lines[5].split()[:4] == ["SC", "1.000", "[1.000,", "1.000]"]
    assert float(lines[6].split()[1]) < 0.5  # carl sees no flaw
    main(["ratings", "agreement", str(store.path), "--rater", "ann", "--level", "interval"])
    assert "SC  undefined: nobody rated the same image" in capsys.readouterr().out


def test_agreement_with_a_judge(tmp_path, store, capsys):
    verdicts = tmp_path / "verdicts-truth.jsonl"
    with verdicts.open("w") as lines:
        for number in range(6):
            scores = {"scores": [number % 3 / 2], "sc": number % 3 / 2, "pq": 1}
            lines.write(json.dumps({"case": f"t/{number}", **scores}) + "\n")
    common = ["ratings", "agreement", store.path, "--judge", verdicts]
    main([str(one) for one in (*common, "--method", "ours")])
    out = capsys.readouterr().out
    assert "verdicts-truth.jsonl and the raters' median, Krippendorff's α (ordinal):" in out
    assert "  SC   1.000 [1.000, 1.000]  6 images, 100% of pairs equal" in out
    main([str(one) for one in (*common, "--method", "ours", "--rater", "Carl")])
    assert "  PQ  undefined: all ratings are alike (6 images)" in capsys.readouterr().out
    assert "ours, theirs: choose one with --method" in fails(capsys, *common)
    assert "--method: nobody is called 'x': ours" in fails(capsys, *common, "--method", "x")


def test_models_are_called_like_their_folders(tmp_path, capsys):
    cases = small_cases()
    for place in ("a/starter", "b/starter"):
        write_images(tmp_path / place / "images", cases[:4], 0)
    found = method_folders([str(tmp_path / "a/starter"), f"new={tmp_path / 'b/starter'}"])
    assert found == {
        n: tmp_path / p / "starter/images" for n, p in (("starter", "a"), ("new", "b"))
    }
    assert image_size(found) == 32
    assert answered(cases, found) == tuple(cases[:4])
    both = (tmp_path / "a/starter", tmp_path / "b/starter")
    assert "are both called starter" in fails(capsys, "rate", *both, "--suite", "x")
    assert "no folder 'images'" in fails(capsys, "rate", tmp_path, "--suite", "x")
    assert "--people must" in fails(capsys, "rate", *both, "--suite", "x", "--people", "2")
    assert "port from 1" in fails(capsys, "rate", *both, "--suite", "x", "--port", "99999")


def folder_suite(folder):
    """A suite of a folder: two cases without references."""
    write = pytest.importorskip(
        "instruct_imagen.evaluation.suites.folder", reason="suites of folders are not here yet"
    ).write_suite
    cases = [
        {
            "id": f"words/{number}", "group": "words", "text": "a dog", "references": [],
            "prompt": "a dog", "conditions": [{"name": "text", "kind": "text"}], "seed": number,
        }
        for number in range(2)
    ]  # fmt: skip
    write(folder, "mine", cases, {})


def test_rate_serves_the_images_of_a_suite(tmp_path, capsys):
    folder_suite(tmp_path / "suite")
    for number in range(2):
        named = [replace(small_cases()[number], id=f"words/{number}")]
        write_images(tmp_path / "ours/images", named, 1)
        write_images(tmp_path / "theirs/images", named, 2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        "rate", tmp_path / "ours", tmp_path / "theirs", "--suite", tmp_path / "suite",
        "--store", tmp_path / "r.sqlite", "--port", port,
    ]  # fmt: skip
    server = subprocess.Popen(
        [sys.executable, "-m", "instruct_imagen.cli", *map(str, command)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        text=True,
        # What was started in the background is deaf to Ctrl-C, and so is what it starts.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert server.stdout.readline() == (
            "2 of 2 cases of mine, 2 models: 4 images, 4 of them for each rater\n"
        )
        assert server.stdout.readline().startswith(f"rating page at http://127.0.0.1:{port} ")
        assert "(Address already in use): name another --port" in fails(capsys, *command)
        answer = asked(f"http://127.0.0.1:{port}", {"rater": "ann"})
        assert (answer["all"], answer["text"], answer["rater"]) == (4, "a dog", "ann")
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(20) in (0, 130)
        server.stdout.close()
    (one,) = Store(tmp_path / "r.sqlite").assignments()
    assert one.rater == "ann"


def asked(address, question):
    """What the page's server answers, by plain HTTP."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{address}/config") as answer:
        components = json.load(answer)["components"]
    (page,) = (one["id"] for one in components if one["type"] == "html")
    body = {"session_hash": "s", "component_id": page, "fn_name": "ask", "data": question}
    request = urllib.request.Request(
        f"{address}/gradio_api/component_server",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with direct.open(request) as answer:
        return json.load(answer)


def test_folders_with_an_equals_sign_are_folders(tmp_path):
    from instruct_imagen.cli.rate import method_folders

    own, other = tmp_path / "starter-steps=5", tmp_path / "other"
    for folder in (own, other):
        (folder / "images").mkdir(parents=True)
    found = method_folders([str(own), f"mine={other}"])
    assert found == {"starter-steps=5": own / "images", "mine": other / "images"}
