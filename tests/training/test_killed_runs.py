"""Runs that end at any moment and go on: all that they compute stays the same, bit for bit."""

from __future__ import annotations

import random

import torch

from instruct_imagen.training import checkpoint
from tests.training.runs import kill_at, losses, tensors, train

SETTINGS = (
    "checkpoint_every=4", "pretrain.images=20", "retrieval.images=20", "layouts.images=20",
    "subjects.images=20", "instruct.images=44", "noises=2", "optimizer=muon", "precision=bf16",
    "drop_both=0.2",
)  # fmt: skip
# How often a run comes to each place in three steps or saves, at most.
PLACES = {"backward": 3, "updated": 3, "written": 9, "synced": 21, "renamed": 6}
KILLS = 20


def test_a_run_killed_at_twenty_moments_equals_the_one_that_was_not(tmp_path):
    assert train(1, tmp_path / "whole", *SETTINGS) == [0]
    rng = random.Random(0)
    # Each place at least three times, and in between other numbers of workers.
    places = [*(list(PLACES) * 4)][:KILLS]
    rng.shuffle(places)
    for place in places:
        settings = (*SETTINGS, f"workers={rng.choice((0, 0, 1, 2))}")
        arguments = (place, rng.randint(1, PLACES[place]))
        codes = train(1, tmp_path / "killed", *settings, before=kill_at, arguments=arguments)
        assert codes in ([-9], [0]), arguments  # 0: it came to its end before
    assert train(1, tmp_path / "killed", *SETTINGS) == [0]
    expected, found = tensors(tmp_path / "whole"), tensors(tmp_path / "killed")
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
    assert losses(tmp_path / "whole") == losses(tmp_path / "killed")
    assert len(losses(tmp_path / "whole")) == 31


def test_kills_do_end_runs_in_the_middle_of_a_save(tmp_path):
    """What the test above relies on: a kill leaves what is half written, and the pointer stands."""
    for place, number in (("written", 5), ("synced", 10), ("renamed", 3)):
        folder = tmp_path / place
        arguments = (place, number)
        assert train(1, folder, *SETTINGS, before=kill_at, arguments=arguments) == [-9]
        state = checkpoint.load_latest(folder / "checkpoints")
        assert state is not None
        assert state.progress["images"] == 4
        names = {path.name for path in (folder / "checkpoints").iterdir()}
        unfinished = "images-000000008" if place == "renamed" else ".images-000000008.writing"
        assert unfinished in names
