"""`instruct-imagen annotate`."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from instruct_imagen.cli import main
from instruct_imagen.data.annotators.canny import Canny
from instruct_imagen.images import load_image


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / name for name in ("dog.png", "cat.bmp", "fox.png")]
    for path, size in zip(paths, [(5, 4), (4, 4), (5, 4)], strict=True):
        blocks = rng.integers(0, 256, (*size, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        Image.fromarray(blocks).save(path)
    return paths


def fails(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(["annotate", *map(str, arguments)])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert len(error.strip().splitlines()) == 1, error
    return error


def test_annotations_are_written_beside_their_names(tmp_path, pictures, capsys):
    out = tmp_path / "new" / "edges"
    main(["annotate", "canny", *map(str, pictures), "--out", str(out), "--set", "low=5"])
    written = capsys.readouterr().out.split()
    assert written == [str(out / f"{name}-canny.png") for name in ("dog", "cat", "fox")]
    for path, found in zip(pictures, written, strict=True):
        with Image.open(found) as drawn:
            assert drawn.mode == "L"
            true = Canny(low=5.0)([load_image(path)])[0]
            assert np.array_equal(np.asarray(drawn), np.asarray(true))


def test_a_setting_and_a_cache_have_an_effect(tmp_path, pictures, capsys):
    cache, out = tmp_path / "cache", tmp_path / "out"
    arguments = ["annotate", "sketch", str(pictures[0]), "--out", str(out)]
    main([*arguments, "--cache", str(cache)])
    first = np.asarray(load_image(out / "dog-sketch.png"))
    assert len(list(cache.glob("*/*.png"))) == 1
    main([*arguments, "--cache", str(cache)])
    assert len(list(cache.glob("*/*.png"))) == 1
    assert np.array_equal(first, np.asarray(load_image(out / "dog-sketch.png")))
    main([*arguments, "--set", "sigma=4", "--cache", str(cache)])
    assert len(list(cache.glob("*/*.png"))) == 2
    assert not np.array_equal(first, np.asarray(load_image(out / "dog-sketch.png")))


def test_wrong_input_is_one_line_and_status_2(tmp_path, pictures, capsys):
    dog, out = pictures[0], ("--out", tmp_path / "out")
    error = fails(capsys, "edges", dog, *out)
    assert "unknown annotator 'edges': use one of canny, depth, edge, mask, sketch" in error
    assert "arguments are required: --out" in fails(capsys, "canny", dog)
    assert "required: IMAGE" in fails(capsys, "canny", *out)
    assert "canny has no setting 'model'" in fails(capsys, "canny", dog, "--model", "x", *out)
    assert "canny has no setting 'name'" in fails(capsys, "canny", dog, "--set", "name=x", *out)
    assert "must be of type float" in fails(capsys, "canny", dog, "--set", "low=few", *out)
    assert "write KEY=VALUE" in fails(capsys, "canny", dog, "--set", "low", *out)
    error = fails(capsys, "canny", dog, "--set", "low=1", "--set", "low=2", *out)
    assert "low is given twice" in error
    assert "depth needs a model" in fails(capsys, "depth", dog, *out)
    error = fails(capsys, "depth", dog, "--model", tmp_path / "none", *out)
    assert "cannot be loaded" in error
    error = fails(capsys, "depth", dog, "--model", "x", "--set", "large=up", *out)
    assert "large must be one of auto, near, far" in error
    error = fails(capsys, "mask", dog, "--model", tmp_path / "none.onnx", *out)
    assert "none.onnx is no file" in error or "onnxruntime" in error
    assert "no.png" in fails(capsys, "canny", tmp_path / "no.png", *out)
    (tmp_path / "file").touch()
    for option in ("--out", "--cache"):
        given = [*out, "--cache", tmp_path / "file"] if option == "--cache" else None
        error = fails(capsys, "canny", dog, *(given or ["--out", tmp_path / "file"]))
        assert f"{option}: " in error
        assert "is a file, and a folder is needed" in error
    assert not (tmp_path / "out").exists()


def test_no_image_and_no_annotation_is_replaced_by_another(tmp_path, pictures, capsys):
    other = tmp_path / "more" / "dog.png"
    other.parent.mkdir()
    other.write_bytes(pictures[0].read_bytes())
    error = fails(capsys, "canny", pictures[0], other, "--out", tmp_path / "out")
    assert "would both become" in error
    own = tmp_path / "dog-canny.png"
    own.write_bytes(pictures[0].read_bytes())
    error = fails(capsys, "canny", pictures[0], own, "--out", tmp_path)
    assert "is one of the images and would be replaced" in error
    assert own.read_bytes() == pictures[0].read_bytes()
