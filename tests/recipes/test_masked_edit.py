"""Fine-tuning on masked editing: from the shipped weights, or from those after stage 1."""

from __future__ import annotations

import json
from dataclasses import replace

from PIL import Image

from instruct_imagen.cli import main
from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.recipes import Stage, recipe
from instruct_imagen.training.loop import Trainer
from tests.training.runs import tiny

SMALL = [
    "size=16", "channels=16,32", "head_dim=16", "batch_size=4", "concepts=12", "min_styles=8",
    "people=2",
]  # fmt: skip
STAGE_1 = ["layouts.images=0", "subjects.images=0", "instruct.images=0"]


def test_it_is_the_starter_on_one_task_and_about_9000_examples():
    usual, found = recipe("starter"), recipe("masked_edit")
    (stage,) = found.stages
    assert dict(stage.ratios) == {"masked_edit": 1.0}
    assert 9_000 <= stage.images / found.noises <= 9_500
    assert stage.images % found.batch_size == 0
    assert 0 < found.cooldown < stage.images
    assert found.init == "starter"
    # The same network on the same world: its weights fit.
    for name in ("size", "channels", "layers", "min_styles", "concepts", "categories"):
        assert getattr(found, name) == getattr(usual, name)
    # The paper's mixture has no editing, so that the starter has never seen any.
    assert all("masked_edit" not in one.ratios for one in usual.stages)
    assert "masked_edit" not in PAPER_RATIOS


def test_it_begins_with_a_run_that_ended_after_stage_1(tmp_path):
    """As docs/change_one_thing.md says, tiny."""
    base = [*SMALL, "pretrain.images=4", "retrieval.images=8", *STAGE_1, f"out={tmp_path / 'run'}"]
    main(["train", "starter", *base])
    main(["export", "starter", str(tmp_path / "stage_1"), *base])
    own = ["instruct.images=16", f"init={tmp_path / 'stage_1'}", f"out={tmp_path / 'tuned'}"]
    main(["train", "masked_edit", *SMALL, *own])
    main(["export", "masked_edit", str(tmp_path / "model"), *SMALL, *own])
    runs = json.loads((tmp_path / "model/training.json").read_text())
    assert [run["stages"] for run in runs] == [{"pretrain": 4, "retrieval": 8}, {"instruct": 16}]
    lines = (tmp_path / "tuned/log.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["loss/masked_edit"] > 0


def test_its_sheet_has_a_row_of_edits_more(tmp_path):
    plain = Trainer(tiny(tmp_path / "plain"))
    only = Stage(name="instruct", images=8, ratios={"masked_edit": 1.0})
    edits = Trainer(replace(tiny(tmp_path / "edits"), stages=(only,)))
    usual, found = (Image.open(one.sheet()) for one in (plain, edits))
    assert (found.width, found.height) == (usual.width, usual.height + 64 + 12)
