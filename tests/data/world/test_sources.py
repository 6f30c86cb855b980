from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from instruct_imagen.data.world import sources
from instruct_imagen.data.world.sources import (
    CACHE_VARIABLE,
    STYLES,
    IconSet,
    WorldUnavailable,
    artwork_folder,
    install_artwork,
    manifest,
    read_set,
    square_view,
)

WORLD = Path(sources.__file__).parent


def test_lock_pins_every_set_and_names_no_address() -> None:
    text = (WORLD / "package-lock.json").read_text()
    assert "resolved" not in text
    assert "http" not in text
    packages = json.loads(text)["packages"]
    asked = json.loads((WORLD / "package.json").read_text())["dependencies"]
    assert set(asked) == {f"@iconify-json/{style}" for style in STYLES}
    for name, version in asked.items():
        locked = packages[f"node_modules/{name}"]
        assert locked["version"] == version
        assert locked["integrity"].startswith("sha512-")
        assert locked["license"]


def test_installed_sets_are_the_locked_ones(icon_sets: Mapping[str, IconSet]) -> None:
    asked = json.loads((WORLD / "package.json").read_text())["dependencies"]
    about = manifest(icon_sets)
    assert tuple(about) == STYLES
    for entry in about.values():
        assert entry["version"] == asked[entry["package"]]
        assert entry["licence"] in {"Apache-2.0", "MIT", "CC-BY-4.0", "CC-BY-SA-4.0"}
        assert entry["licence_url"] and entry["author"] and entry["author_url"]
        path = artwork_folder() / "node_modules" / entry["package"] / "icons.json"
        assert entry["icons_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_renaming_gives_the_same_drawing(icon_sets: Mapping[str, IconSet]) -> None:
    icons = icon_sets["twemoji"]
    assert icons.drawing("bear-face") == "bear"
    assert icons.svg("bear-face") == icons.svg("bear")
    # This name also mirrors its drawing, so it is no plain renaming.
    assert icon_sets["fluent-emoji-flat"].drawing("backhand-index-pointing-right") is None
    with pytest.raises(KeyError, match="twemoji has no drawing named 'gryphon'"):
        icons.svg("gryphon")


def test_square_view_is_around_the_frame() -> None:
    assert square_view((0, 0, 30, 30)) == (0, 0, 30, 30)
    assert square_view((2, 4, 10, 30)) == (-8, 4, 30, 30)
    assert square_view((0, 0, 40, 20), (0.5, 0.25, 0.5, 0.5)) == (20, 0, 20, 20)


def test_without_npm_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        WorldUnavailable, match=r"npm is not on the path.*install Node\.js"
    ) as error:
        install_artwork()
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def npm_that(does: str, folder: Path) -> None:
    """Put a program named npm on an otherwise usual path."""
    folder.mkdir()
    program = folder / "npm"
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_a_failing_npm_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm_that("mkdir node_modules; echo no registry here >&2; exit 7", tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    with pytest.raises(WorldUnavailable, match=r"status 7.*no registry here"):
        install_artwork()
    assert not list((tmp_path / "cache" / "artwork").iterdir())


def _install(_: int) -> str:
    return str(install_artwork())


def test_several_processes_install_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an npm that only notes its call and is slow enough for all to be under way."""
    npm_that(f"sleep 0.5; mkdir node_modules; echo x >> {tmp_path}/calls", tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    with multiprocessing.get_context("fork").Pool(3) as pool:
        found = pool.map(_install, range(3), chunksize=1)
    folder = artwork_folder()
    assert set(found) == {str(folder)}
    assert (folder / "node_modules").is_dir()
    assert list(folder.parent.iterdir()) == [folder]
    calls = (tmp_path / "calls").read_text()
    assert install_artwork() == folder
    assert (tmp_path / "calls").read_text() == calls


def test_an_incomplete_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorldUnavailable, match=f"artwork of noto is not in {tmp_path}"):
        read_set("noto", tmp_path)
