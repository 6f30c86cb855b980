"""What `instruct-imagen clusters build` says of bad input: a line and a count each, no more."""

from __future__ import annotations

import ctypes
import errno
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from instruct_imagen.cli import main
from instruct_imagen.data.clusters.ledger import StepFolder
from instruct_imagen.data.clusters.rows import ClusterError
from tests.data.clusters.builds import drawing, encoded
from tests.data.corpora.layouts import tar, write

GOOD = 4
ROOT = Path(__file__).parents[1]


def samples(start: int = 0) -> dict[str, bytes]:
    """So many good ones, as files of a tar."""
    found = {}
    for number in range(start, start + GOOD):
        found[f"{number}.png"] = encoded(drawing("star", number))
        found[f"{number}.txt"] = f"star {number} of the town".encode()
    return found


def with_extra(extra: dict[str, bytes]) -> Callable[[Path], None]:
    return lambda folder: tar(folder / "0.tar", samples() | extra) and None


def cut_tar(folder: Path) -> None:
    content = tar(folder / "0.tar", samples()).read_bytes()
    second = content.index(b"2.png")
    write(folder / "0.tar", content[: second + 700])
    tar(folder / "1.tar", samples(GOOD))


def broken_jpeg() -> bytes:
    file = io.BytesIO()
    drawing("star", 9).save(file, "JPEG")
    return file.getvalue()[:-200]


def huge_png() -> bytes:
    """200 megapixels in some 25 KB, whole."""
    file = io.BytesIO()
    Image.new("1", (20_000, 10_000)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("lay", "read", "count", "line"),
    [
        (cut_tar, GOOD + 2, "read: read 6, tar breaks off 1",
         "0.tar breaks off after 2 samples (unexpected end of data)"),
        (with_extra({"x.jpg": broken_jpeg(), "x.txt": b"a broken star"}), GOOD,
         "pixels: kept 4, broken image 1", "0/x: truncated or broken image ("),
        (with_extra({"x.png": huge_png(), "x.txt": b"a large star"}), GOOD,
         "read: read 4, too many pixels 1", "0/x.png: more pixels than Pillow decodes ("),
        (with_extra({"x.png": encoded(drawing("star", 9)), "x.txt": b"star " * 200_000}), GOOD,
         "read: read 4, caption too long to read 1",
         "0/x: a caption of 999999 characters, the limit is 65536"),
        (with_extra({"./1.png": encoded(drawing("star", 9)), "./1.txt": b"another star"}), GOOD,
         "read: read 4, repeated key 1", "0/1: the tar holds it twice"),
    ],
    ids=["truncated tar", "corrupt jpeg", "200 megapixels", "long caption", "repeated key"],
)  # fmt: skip
def test_bad_input_is_counted_and_nothing_else_is_lost(
    lay: Callable[[Path], None], read: int, count: str, line: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    lay(tmp_path / "corpus")
    main(
        ["clusters", "build", str(tmp_path / "corpus"), str(tmp_path / "out"), "--until", "pixels",
         "filters.min_side=32", "filters.min_quality=0"]
    )  # fmt: skip
    printed = capsys.readouterr()
    assert count in printed.out.splitlines()
    told = printed.err.splitlines()
    assert len(told) == 1
    assert told[0].startswith(f"  {line}")
    assert printed.out.splitlines()[-1].startswith(f"pixels: kept {read}")


@pytest.mark.parametrize("place", ["file", "below a file", "/proc"])
def test_an_output_that_cannot_be_written_is_refused(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tar(tmp_path / "corpus" / "0.tar", samples())
    write(tmp_path / "file", "there")
    out = {"file": tmp_path / "file", "below a file": tmp_path / "file" / "out"}
    named = Path("/proc/clusters") if place == "/proc" else tmp_path / "file"
    with pytest.raises(SystemExit) as ended:
        main(["clusters", "build", str(tmp_path / "corpus"), str(out.get(place, "/proc/clusters"))])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert str(named) in told
    assert (tmp_path / "file").read_text() == "there"


@contextmanager
def without_rights() -> Iterator[None]:
    """Root may read everything, unless this thread gives that up; nobody else has it to give."""
    libc = ctypes.CDLL(None)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    before = list(sets)
    sets[0] &= ~0b110  # of the effective ones: CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, sets) == 0
    try:
        yield
    finally:
        sets[:] = before
        assert libc.capset(header, sets) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="root of Linux can give up rights")
def test_what_may_not_be_read_is_named_and_is_no_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = [{"bytes": encoded(drawing("star", k)), "path": None} for k in range(2)]
    for number in range(2):
        tar(tmp_path / "tars" / f"{number}.tar", samples(number * GOOD))
        tar(tmp_path / "folders" / str(number) / "0.tar", samples(number * GOOD))
        table = pa.table({"image": pictures, "caption": ["a star"] * 2})
        (tmp_path / "tables").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "tables" / f"{number}.parquet")
    write(tmp_path / "held" / "0.parquet", (tmp_path / "tables" / "0.parquet").read_bytes())
    write(tmp_path / "nima.onnx", b"a network")
    model = f"quality_model={tmp_path / 'nima.onnx'}"
    cases = (
        ("tars", tmp_path / "tars" / "1.tar", []),
        ("folders", tmp_path / "folders" / "1", []),
        ("tables", tmp_path / "tables" / "1.parquet", []),
        ("tars", tmp_path / "held" / "0.parquet", ["--holdout", str(tmp_path / "held")]),
        ("tars", tmp_path / "nima.onnx", ["--until", "pixels", model]),
    )
    cure = "may not be read (Permission denied): let yourself read it, or take it away"
    for number, (corpus, path, more) in enumerate(cases):
        path.chmod(0)
        out = str(tmp_path / f"out{number}")
        given = ["clusters", "build", str(tmp_path / corpus), out, "--until", "read", *more]
        with without_rights():
            with pytest.raises(PermissionError):
                os.close(os.open(path, os.O_RDONLY))
            if not number:  # counted, and all others are read
                main(given)
            else:
                with pytest.raises(SystemExit) as ended:
                    main(given)
                assert ended.value.code == 2
        path.chmod(0o700)
        printed = capsys.readouterr()
        if not number:
            assert printed.out == "read: read 4, may not be read 1\n"
            assert printed.err == f"  1.tar {cure}\n"
        else:
            assert printed.err.startswith("instruct-imagen: ")
            assert printed.err.endswith(f"{path} {cure}\n") and printed.err.count("\n") == 1


def test_an_input_that_is_refused_in_the_middle_of_a_step_is_no_output(tmp_path: Path) -> None:
    folder = StepFolder(tmp_path / "out" / "embed", {})
    weights, own = tmp_path / "weights.bin", tmp_path / "out" / "embed" / "00000.npy"
    arrow = f"Failed to open local file '{weights}'"
    for error, line in (
        (PermissionError(errno.EACCES, "Permission denied", str(weights)), f"{weights} may not be"),
        (PermissionError(errno.EACCES, arrow), f"{weights} may not be read"),
        (PermissionError(errno.EACCES, "Permission denied", str(own)), "cannot write to "),
        (OSError(errno.ENOSPC, "No space left on device"), "cannot write to "),
    ):
        with pytest.raises(ClusterError, match=re.escape(line)), folder.making("00000", {}):
            raise error


SMALL_DISK = """
mount -t tmpfs -o size=8k tmpfs "$1" || exit 99
"$0" -m instruct_imagen.cli clusters build "$2" "$1" filters.min_side=32 filters.min_quality=0
status=$?
find "$1" -name '.*.tmp' >&2
exit $status
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    tar(tmp_path / "corpus" / "0.tar", {k: v for n in range(5) for k, v in samples(4 * n).items()})
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", SMALL_DISK, sys.executable, str(tmp_path / "out"),
         str(tmp_path / "corpus")],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode in (1, 99) and ("unshare" in done.stderr or "mount" in done.stderr):
        pytest.skip("no mounts of one's own here")
    assert done.returncode == 2
    assert done.stderr.startswith(f"instruct-imagen: cannot write to {tmp_path / 'out'}")
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1
