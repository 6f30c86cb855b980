"""Parts are done or not there, whatever happens."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from instruct_imagen.data.clusters import ledger
from instruct_imagen.data.clusters.ledger import NOTED, PartRecord, StepFolder, claim, total
from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.data.clusters.steps.base import write_array
from tests.data.clusters.steps import Squares, content, write_source

KILLS = 20


def make(step: StepFolder, part: str, inputs: dict[str, str], text: str) -> None:
    with step.making(part, inputs) as draft:
        draft.path(f"{part}.txt").write_text(text)
        draft.count("lines", 3)


def test_a_part_is_kept_for_the_same_settings_and_inputs_alone(tmp_path: Path) -> None:
    step = StepFolder(tmp_path / "step", {"side": 64})
    assert step.kept("00000", {"a": "1"}) is None
    make(step, "00000", {"a": "1"}, "hello")
    record = step.kept("00000", {"a": "1"})
    assert record is not None
    assert record.counts == {"lines": 3}
    assert record.hashes(".txt").keys() == {"00000.txt"}
    assert record.hashes(".npy") == {}
    assert step.kept("00000", {"a": "2"}) is None
    assert step.kept("00001", {"a": "1"}) is None
    assert StepFolder(tmp_path / "step", {"side": 32}).kept("00000", {"a": "1"}) is None
    assert StepFolder(tmp_path / "step", {"side": 64}).kept("00000", {"a": "1"}) == record


@pytest.mark.parametrize("spoil", ["file gone", "file shorter", "manifest half", "not a manifest"])
def test_what_was_spoiled_is_not_done(tmp_path: Path, spoil: str) -> None:
    step = StepFolder(tmp_path / "step", {})
    make(step, "00000", {}, "hello")
    file, manifest = (tmp_path / "step" / f"00000.{end}" for end in ("txt", "json"))
    if spoil == "file gone":
        file.unlink()
    elif spoil == "file shorter":
        file.write_text("hell")
    elif spoil == "manifest half":
        manifest.write_text(manifest.read_text()[:40])
    else:
        manifest.write_text("[]")
    assert step.kept("00000", {}) is None
    make(step, "00000", {}, "hello")
    assert step.kept("00000", {}) is not None


def test_a_part_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    step = StepFolder(tmp_path / "step", {})
    make(step, "00000", {"a": "1"}, "hello")
    before = content(tmp_path / "step")
    with pytest.raises(RuntimeError), step.making("00000", {"a": "2"}) as draft:
        draft.path("00000.txt").write_text("other")
        raise RuntimeError
    assert content(tmp_path / "step") == before


def test_first_lines_are_noted_and_all_are_counted(tmp_path: Path) -> None:
    step = StepFolder(tmp_path / "step", {})
    with step.making("00000", {}) as draft:
        for number in range(9):
            draft.count("too small", note=f"picture {number}")
        draft.count("kept", 2)
    record = step.record("00000")
    assert record is not None
    assert record.notes == {"too small": tuple(f"picture {number}" for number in range(NOTED))}
    assert total([record, record]) == {"too small": 18, "kept": 4}


def test_what_belongs_to_no_part_goes(tmp_path: Path) -> None:
    step = StepFolder(tmp_path / "step", {})
    for part in ("00000", "00001"):
        make(step, part, {}, part)
    (tmp_path / "step" / ".00000.txt.0123456789abcdef.tmp").write_text("half")
    step.clear()
    assert content(tmp_path / "step").keys() == {
        "00000.json",
        "00000.txt",
        "00001.json",
        "00001.txt",
    }
    step.prune(["00000"])
    assert content(tmp_path / "step").keys() == {"00000.json", "00000.txt"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ClusterError, match=r"cannot write to .*name a folder"):
        StepFolder(tmp_path / "step", {})


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "step").write_text("")
    with pytest.raises(ClusterError, match=r"cannot write to .*step .*: name a folder"):
        StepFolder(tmp_path / "step", {})


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    step = StepFolder(tmp_path / "step", {})
    with (
        pytest.raises(ClusterError, match=r"cannot write .*No space left.*room"),
        step.making("00000", {}) as draft,
        Path("/dev/full").open("w") as full,
    ):
        draft.path("00000.txt").write_text("whole")
        full.write("a byte")
        full.flush()
    assert content(tmp_path / "step") == {}


LATE = """
import sys
from pathlib import Path
from instruct_imagen.data.clusters.ledger import StepFolder
step = StepFolder(Path(sys.argv[1]), {"power": int(sys.argv[2])}, "first")
with step.making("00000", {"a": sys.argv[3]}) as draft:
    draft.path("00000.txt").write_text("late!")
    print("written", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize(("power", "made_of"), [(2, "1"), (2, "2"), (3, "1")])
def test_a_worker_that_outlives_its_build_changes_nothing(
    power: int, made_of: str, tmp_path: Path
) -> None:
    """It holds files of other settings or inputs, or of the same, when the next build has ended."""
    folder = tmp_path / "step"
    claim(tmp_path, "first")
    late = subprocess.Popen(
        [sys.executable, "-c", LATE, str(folder), "2", "1"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert late.stdout is not None
    assert late.stdout.readline() == "written\n"
    claim(tmp_path, "second")
    step = StepFolder(folder, {"power": power}, "second")
    with step.making("00000", {"a": made_of}) as draft:
        draft.path("00000.txt").write_text("there")
    before = {name: data for name, data in content(folder).items() if name[0] != "."}
    _, told = late.communicate("\n")
    assert late.returncode == 1
    assert "another build has begun in" in told
    assert content(folder) == before
    record = step.kept("00000", {"a": made_of})
    assert record is not None
    assert record.files["00000.txt"] == (5, hashlib.sha256(b"there").hexdigest())


def test_a_manifest_is_parsed_once_as_long_as_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, other, parsed = StepFolder(tmp_path / "step", {}), StepFolder(tmp_path / "step", {}), []
    real = json.loads
    monkeypatch.setattr(ledger.json, "loads", lambda text: parsed.append(1) or real(text))
    make(step, "00000", {}, "hello")
    parsed.clear()
    first = step.record("00000")
    assert step.record("00000") == first == other.kept("00000", {})
    assert len(parsed) == 1
    make(step, "00000", {}, "other")
    second = step.record("00000")
    assert second is not None and second != first
    (tmp_path / "step" / "00000.json").unlink()
    assert step.record("00000") is None


def test_an_array_for_which_the_disk_has_no_room_says_so() -> None:
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_array(np.zeros(10**5), Path("/dev/full"))
    assert caught.value.errno == errno.ENOSPC


def test_twenty_kills_change_no_byte(tmp_path: Path) -> None:
    """A process is ended with SIGKILL at random moments; the next one goes on."""
    parts = write_source(tmp_path / "source", 40)
    expected = Squares(tmp_path / "source", tmp_path / "calm").opened()
    for part in parts:
        expected(part)
    program = (
        "import sys; from pathlib import Path; from tests.data.clusters.steps import Squares\n"
        "make = Squares(Path(sys.argv[1]), Path(sys.argv[2]), 0.004).opened()\n"
        "print('begun', flush=True)\n"
        "for part in sys.argv[3:]: make(part)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "source"), str(tmp_path / "killed")]
    rng = random.Random(0)
    kills = 0
    # Until some part was whole before its process ended, however slow the machine is.
    while kills < KILLS or not list((tmp_path / "killed").glob("*.json")):
        process = subprocess.Popen(
            [*command, *parts], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        time.sleep(rng.uniform(0, 0.02 * (1 + kills // KILLS)))
        kills += 1
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    subprocess.run(
        [*command, *parts], check=True, capture_output=True, cwd=Path(__file__).parents[3]
    )
    StepFolder(tmp_path / "killed", {"power": 2}).prune(parts)
    assert content(tmp_path / "killed") == content(tmp_path / "calm")


def test_a_record_is_what_its_manifest_says(tmp_path: Path) -> None:
    step = StepFolder(tmp_path / "step", {"side": 64})
    make(step, "00000", {"a": "1"}, "hello")
    stored = json.loads((tmp_path / "step" / "00000.json").read_text())
    assert step.record("00000") == PartRecord(
        part="00000",
        inputs={"a": "1"},
        files={"00000.txt": (5, stored["files"]["00000.txt"][1])},
        counts={"lines": 3},
        notes={},
    )
