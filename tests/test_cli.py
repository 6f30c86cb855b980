from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from instruct_imagen.cli import main, parser
from instruct_imagen.data.world.artwork import registry
from instruct_imagen.data.world.artwork.clip_art import OpenClipArt
from instruct_imagen.data.world.artwork.faces import faces_folder
from instruct_imagen.data.world.artwork.stamps import Stamps
from instruct_imagen.images import save_png
from tests.data.world.artwork.test_stamps import stamp


@pytest.fixture
def dog(tmp_path):
    save_png(tmp_path / "dog.png", np.full((40, 30, 3), 90, np.uint8))
    return tmp_path / "dog.png"


def fails(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert len(error.strip().splitlines()) == 1, error
    assert "Traceback" not in error
    return error


def test_generate_writes_what_it_says(tmp_path, dog, capsys):
    out = tmp_path / "made" / "image.png"
    arguments = ["generate", "Draw the [ref#1] dog.", "--ref", f"dog={dog}", "--role", "1=subject"]
    main([*arguments, "--steps", "2", "--count", "2", "--out", str(out)])
    written = capsys.readouterr().out.split()
    assert written == [str(out.with_name(f"image-{n}.png")) for n in (1, 2)]
    first, second = (np.asarray(Image.open(path)) for path in written)
    assert not np.array_equal(first, second)
    # The second image's seed is the first's plus one.
    main([*arguments, "--steps", "2", "--seed", "1", "--out", str(out)])
    assert np.abs(np.asarray(Image.open(out)).astype(int) - second).max() <= 1


def test_generate_from_json(tmp_path, dog):
    reference = {"ref": 1, "text": "dog", "image": "dog.png", "role": "subject"}
    given = {"text": "Draw the [ref#1] dog.", "references": [reference]}
    (tmp_path / "one.json").write_text(json.dumps(given))
    out = tmp_path / "image.png"
    instruction = str(tmp_path / "one.json")
    main(["generate", "--instruction", instruction, "--steps", "2", "--out", str(out)])
    assert Image.open(out).mode == "RGB"


def test_wrong_input_is_one_line_and_status_2(tmp_path, dog, capsys):
    missing = tmp_path / "cat.png"
    assert "reference" in fails(capsys, "generate", "Draw [ref#2].", "--ref", f"dog={dog}")
    assert "cat.png" in fails(capsys, "generate", "Draw [ref#1].", "--ref", f"cat={missing}")
    assert "TEXT=FILE" in fails(capsys, "generate", "Draw [ref#1].", "--ref", "dog.png")
    assert "either TEXT or" in fails(capsys, "generate")
    assert "no model" in fails(capsys, "generate", "A dog.", "--model", "nothing")
    assert "K=ROLE" in fails(capsys, "generate", "A dog.", "--role", "1=hero")
    assert "whole number" in fails(capsys, "generate", "A dog.", "--steps", "0")
    assert "at least 1" in fails(capsys, "generate", "A dog.", "--guidance", "0")
    assert "number" in fails(capsys, "generate", "A dog.", "--guidance", "inf")
    assert "at most 1000" in fails(capsys, "generate", "A dog.", "--steps", "1001")
    (tmp_path / "folder.png").mkdir()
    assert "is a folder" in fails(capsys, "generate", "A.", "--out", tmp_path / "folder.png")
    assert "is a folder" in fails(capsys, "world", "preview", "--out", tmp_path)
    error = fails(capsys, "world", "preview", "--size", "500", "--count", "20")
    assert "at that size at most 6" in error
    assert "whole number" in fails(capsys, "world", "preview", "--seed", "-1")
    assert "at most 1000" in fails(capsys, "generate", "A dog.", "--count", "2000")
    assert "KB, MB or GB" in fails(capsys, "export", "starter", "x", "--max-shard-size", "15MiB")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/model_index.json").write_text('{"_class_name": "OtherPipeline"}')
    for command in (
        ("generate", "A dog.", "--model", tmp_path / "foreign"),
        ("train", "starter", f"init={tmp_path / 'foreign'}", f"out={tmp_path / 'run'}"),
    ):
        assert "of another kind" in fails(capsys, *command)
    (tmp_path / "file").touch()
    for command in (
        ("generate", "A dog.", "--out", tmp_path / "file/image.png"),
        ("world", "preview", "--out", tmp_path / "file/world.png"),
        ("world", "pack", "starter", tmp_path / "file/world.zip"),
        ("demo", "--out", tmp_path / "file"),
        ("train", "starter", f"out={tmp_path / 'file'}"),
        ("export", "starter", tmp_path / "file"),
    ):
        assert "is a file, and a folder is needed" in fails(capsys, *command), command
    assert "is a folder" in fails(capsys, "world", "pack", "starter", tmp_path)
    assert "try device=cpu" in fails(
        capsys, "train", "starter", "device=nowhere", f"out={tmp_path}"
    )
    error = fails(capsys, "export", "starter", tmp_path / "new", "--max-shard-size", "big")
    assert "KB, MB or GB" in error
    assert not (tmp_path / "new").exists()
    (tmp_path / "no.zip").write_text("no zip")
    error = fails(capsys, "train", "starter", f"world={tmp_path / 'no.zip'}", f"out={tmp_path}")
    assert "no.zip is no whole packed world" in error
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("letter.txt", "Dear")
    error = fails(capsys, "train", "starter", f"world={tmp_path / 'other.zip'}", f"out={tmp_path}")
    assert "other.zip is no whole packed world (\"There is no item named 'atlas.npz'" in error
    error = fails(capsys, "train", "starter", f"world={tmp_path / 'gone.zip'}", f"out={tmp_path}")
    assert "gone.zip does not exist" in error
    assert ".png" in fails(capsys, "generate", "A dog.", "--out", tmp_path / "image.jpg")
    assert "K=ROLE" in fails(capsys, "generate", "A dog.", "--role", "²=style")
    assert "twice" in fails(capsys, "generate", "A.", "--role", "1=style", "--role", "1=mask")
    assert "no --ref gives" in fails(capsys, "generate", "A.", "--role", "1=style")
    assert "2^63" in fails(capsys, "generate", "A.", "--seed", "9" * 30)
    (tmp_path / "world.zip").write_text("no zip")
    out = f"out={tmp_path / 'run'}"
    assert "zip" in fails(capsys, "train", "starter", f"world={tmp_path / 'world.zip'}", out)
    assert "50 styles" in fails(capsys, "train", "starter", "min_styles=50", out)
    assert "Foo" in fails(capsys, "train", "starter", "categories=Foo", out)
    assert "unknown setting" in fails(capsys, "train", "starter", "minuts=3")
    assert "unknown recipe" in fails(capsys, "train", "stater")
    assert "invalid choice" in fails(capsys, "paint")
    (tmp_path / "broken.json").write_text("{")
    fails(capsys, "generate", "--instruction", tmp_path / "broken.json")
    (tmp_path / "text.png").write_text("no image")
    assert "text.png" in fails(
        capsys, "generate", "Draw [ref#1].", "--ref", f"dog={tmp_path / 'text.png'}"
    )


def test_train_shows_its_resolved_config(capsys):
    main(["train", "starter", "minutes=3", "--show"])
    assert json.loads(capsys.readouterr().out)["minutes"] == 3


def test_settings_may_stand_on_both_sides_of_options(capsys):
    main(["train", "starter", "seed=4", "--show", "minutes=3"])
    shown = json.loads(capsys.readouterr().out)
    assert (shown["seed"], shown["minutes"]) == (4, 3)
    assert "--quick" in fails(capsys, "train", "starter", "--quick", "minutes=3")
    assert "extra" in fails(capsys, "generate", "A dog.", "extra")
    error = fails(capsys, "generate", "A dog.", "--sed", "3")
    assert "did you mean --seed?" in error
    error = fails(capsys, "generate", "Remove it.", "--sourc", "photo.png")  # is not --source
    assert "did you mean --source?" in error
    error = fails(capsys, "world", "pack", "starter", "w.zip", "--ouput=3")
    assert "instruct-imagen world pack --help" in error
    assert "KEY=VALUE" not in fails(capsys, "train")


def test_help_and_the_instruction_format_do_not_wait_for_torch():
    code = (
        "import sys; import instruct_imagen.cli; import instruct_imagen.instruction; "
        "instruct_imagen.cli.parser(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("instruct-imagen 0.")


def test_every_command_explains_itself(capsys):
    for command in ("generate", "demo", "train", "export", "world", "corpus", "annotate"):
        with pytest.raises(SystemExit) as stopped:
            parser().parse_args([command, "--help"])
        assert stopped.value.code == 0
        assert "usage:" in capsys.readouterr().out


def test_world_preview(tmp_path, capsys):
    out = tmp_path / "world.png"
    main(["world", "preview", "--count", "2", "--size", "32", "--out", str(out)])
    assert Image.open(out).size[0] > 4 * 32


def test_corpus_list_says_what_users_must_know(capsys):
    main(["corpus", "list"])
    lines = capsys.readouterr().out.splitlines()
    assert "celeba: CelebA, as Identity records" in lines
    place = lines.index("magicbrush: MagicBrush, as Edited records")
    assert lines[place + 2].startswith("  licence   CC BY 4.0")
    assert lines[place + 5] == "  options   split=…"


def test_corpus_check_counts_names_and_shows(tmp_path, capsys):
    for number in range(4):
        save_png(tmp_path / f"{number}.png", np.full((9, 9, 3), number, np.uint8))
        (tmp_path / f"{number}.txt").write_text(f"picture {number}")
    whole = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes(whole[:50])  # the header and a few bytes
    main(["corpus", "check", "captioned_folder", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"a folder of captioned images in {tmp_path}"
    assert lines[2:5] == ["records   4 (Captioned)", "images    4, headers read", "problems  0"]
    assert lines[5:] == ["0.png: picture 0", "1.png: picture 1", "2.png: picture 2"]
    main(["corpus", "check", "captioned_folder", str(tmp_path), "--decode"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:5] == ["records   3 (Captioned)", "images    3, decoded", "problems  1"]
    assert lines[5].startswith("  2.png: truncated or broken image")
    main(["corpus", "check", "captioned_folder", str(tmp_path), "--first", "1"])
    assert "records   1 (Captioned)" in capsys.readouterr().out


def test_corpus_check_fails_in_one_line(tmp_path, capsys):
    check = ("corpus", "check")
    assert "unknown corpus 'celeb'" in fails(capsys, *check, "celeb", tmp_path)
    assert "is not CelebA as it is published" in fails(capsys, *check, "celeba", tmp_path)
    assert "is no folder" in fails(capsys, *check, "wikiart", tmp_path / "gone")
    assert "has no option 'splt'" in fails(capsys, *check, "wikiart", tmp_path, "splt=train")
    assert "is KEY=VALUE, not 'train'" in fails(capsys, *check, "wikiart", tmp_path, "train")
    assert "is KEY=VALUE, not 'split='" in fails(capsys, *check, "wikiart", tmp_path, "split=")
    for number in range(11):
        (tmp_path / f"{number}.png").write_text("no image")
        (tmp_path / f"{number}.txt").write_text("a picture")
    error = fails(capsys, *check, "captioned_folder", tmp_path)
    assert "11 problems in 11 entries, 10 are tolerated" in error and "0.png: not an image" in error


def test_the_sources_are_listed(capsys):
    main(["world", "sources"])
    lines = capsys.readouterr().out.splitlines()
    names = [line.partition(":")[0] for line in lines if not line.startswith(" ")]
    assert names == ["emoji", "faces", "stamps", "clip_art"]
    assert any("openmoji: 4,616 drawings, CC-BY-SA-4.0, OpenMoji" in line for line in lines)
    for place, line in enumerate(lines):
        if not line.startswith(" "):  # it is here and counted, or how to get it
            assert "drawings in /" in lines[place + 1] or "not here yet: " in lines[place + 1]


def test_the_sources_are_listed_without_npm_and_where_one_is_half_here(
    tmp_path, monkeypatch, capsys
):
    """Nothing is installed, and none that cannot be read ends the list."""
    monkeypatch.setenv("INSTRUCT_IMAGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    faces_folder().mkdir(parents=True)
    own = tmp_path / "stamps"
    for name in ("horse", "sea lion", "owl"):
        stamp(own, name, f"A {name}.")
    (tmp_path / "svg").mkdir()
    (tmp_path / "empty").mkdir()
    changed = {"stamps": Stamps(folder=own), "clip_art": OpenClipArt(folder=tmp_path / "svg")}
    monkeypatch.setattr(registry, "SOURCES", {**registry.SOURCES, **changed})
    main(["world", "sources"])
    printed = capsys.readouterr().out
    assert "emoji: things in eleven styles of drawing\n  not here yet: installed by npm" in printed
    assert "  cannot be read: the faces are not whole in" in printed
    assert "  photograph: 3 of 3 files kept, 2 in training\n" in printed  # no sea lion
    assert "  cannot be read: the emoji are not here yet" in printed
    changed["stamps"] = Stamps(folder=tmp_path / "empty")
    monkeypatch.setattr(registry, "SOURCES", {**registry.SOURCES, **changed})
    main(["world", "sources"])
    assert "apt install --reinstall tuxpaint-stamps-default" in capsys.readouterr().out


def test_a_packed_world_trains_and_exports_a_model_that_draws(tmp_path, capsys):
    settings = [
        "size=16", "channels=16,32", "head_dim=16", "batch_size=4", "concepts=12", "min_styles=8",
        "people=2", "pretrain.images=4", "retrieval.images=4", "layouts.images=4",
        "subjects.images=4", "instruct.images=4", f"out={tmp_path / 'run'}",
    ]  # fmt: skip
    main(["world", "pack", "starter", str(tmp_path / "world.zip"), *settings])
    assert "MB" in capsys.readouterr().out
    settings.append(f"world={tmp_path / 'world.zip'}")
    assert "no checkpoint" in fails(capsys, "export", "starter", tmp_path / "model", *settings)
    main(["train", "starter", *settings])
    capsys.readouterr()
    assert "same ones" in fails(capsys, "train", "starter", *settings, "noises=1")
    assert "other files" in fails(capsys, "export", "starter", tmp_path, *settings)
    main(["export", "starter", str(tmp_path / "model"), "--dtype", "bfloat16", *settings])
    assert "20 images" in capsys.readouterr().out
    main(["demo", "--model", str(tmp_path / "model"), "--out", str(tmp_path / "demo")])
    assert Image.open(tmp_path / "demo/text_to_image.png").size == (16, 16)


def test_a_dry_run_says_what_a_training_takes_and_keeps_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ["size=16", "channels=16,32", "head_dim=16", "concepts=12", "pretrain.images=0"]
    main(["train", "starter", "--dry-run", "--hardware", "a100", *settings])
    lines = capsys.readouterr().out.splitlines()
    assert '"size": 16,' in "".join(lines)
    assert any(line.startswith("parameters          ") for line in lines)
    assert not any(line.startswith("pretrain  ") for line in lines)
    assert "there               35% of one a100, 109,200 GFLOP/s" in lines
    table = [line.split() for line in lines[-6:-2]]
    assert [row[0] for row in table] == ["retrieval", "layouts", "subjects", "instruct"]
    for row in table:
        images, work = int(row[1].replace(",", "")), float(row[2])
        assert float(row[4]) == pytest.approx(images * work / 109_200 / 3600, rel=0.02)
        assert float(row[6]) > 0
    main(["train", "paper", "--dry-run", "device=cpu"])
    lines = capsys.readouterr().out.splitlines()
    words = "here                reckoned only, no step taken: 43 GB are needed"
    assert any(line.startswith(words) for line in lines)
    assert lines[-1].split()[0] == "instruct"
    assert lines[-1].split()[-1] == "-"
    assert list(tmp_path.iterdir()) == []
    assert "--hardware must" in fails(
        capsys, "train", "starter", "--dry-run", "--hardware", "abacus"
    )
    assert "--share must" in fails(capsys, "train", "starter", "--dry-run", "--share", "2")


def test_a_reader_that_has_seen_enough_ends_a_command_quietly():
    command = [sys.executable, "-m", "instruct_imagen.cli", "corpus", "list"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
