"""A run's averaged weights as a pipeline that `from_pretrained` reads."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch

from instruct_imagen.data.world.holdout import holdout
from instruct_imagen.pipeline import BASE, UPSCALER, is_saved_pipeline
from instruct_imagen.training.card import RUNS, write_card
from instruct_imagen.training.loop import Trainer
from instruct_imagen.training.packed_world import World
from instruct_imagen.training.shards import described

_WRITTEN = {"model_index.json", "README.md", RUNS, "unet", "text_encoder", "scheduler", "vae"}


def check_target(folder: Path) -> None:
    """Raises unless a pipeline can be written to `folder` without losing anything else.

    Raises:
        FileExistsError: It holds something that no export of ours has written, or is where the
            caller stands.
    """
    if folder.resolve() == Path.cwd():
        raise FileExistsError(f"'{folder}' is the current folder: name a new one")
    if not folder.is_dir():
        return
    found = {path.name for path in folder.iterdir()}
    if found and not (is_saved_pipeline(folder, BASE, UPSCALER) and found <= _WRITTEN):
        others = sorted(found - _WRITTEN) or ["a pipeline of another kind"]
        raise FileExistsError(
            f"'{folder}' holds other files ({others[0]}): name a new folder or an earlier export"
        )


def export(
    trainer: Trainer,
    folder: Path,
    *,
    dtype: torch.dtype = torch.float16,
    max_shard_size: str = "10GB",
) -> None:
    """Writes the averaged weights of a run.

    Args:
        trainer: The run.
        folder: To be written; it appears whole or not at all, in place of an earlier export.
        dtype: Of the weights.
        max_shard_size: Largest file of weights, as diffusers reads it, e.g. ``"15MB"``.

    Raises:
        FileExistsError: See `check_target`.
    """
    check_target(folder)
    pipeline = trainer.averaged()
    # nn.Module's own `to`: that of ModelMixin warns about float32 modules that we do not have.
    torch.nn.Module.to(pipeline.unet, dtype)
    folder = folder.resolve()
    new = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(new, ignore_errors=True)  # left by a crash
    pipeline.save_pretrained(new, max_shard_size=max_shard_size)
    write_card(
        new,
        trainer.config,
        [*trainer.earlier, trainer.facts()],
        parameters=trainer.parameter_count,
        data=_data(trainer.world),
        holdout=holdout().version,
        dtype=str(dtype).removeprefix("torch."),
    )
    old = folder.with_name(f".{folder.name}.old")
    if folder.is_dir():
        os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def _data(world: World) -> str:
    """What the last run was trained on, in words."""
    stored = described(world.shards)
    if not world.drawn:
        return stored
    vocabulary, own = world.vocabulary, world.photographs
    return (f"{stored}, and " if stored else "") + (
        f"the starter world: {len(vocabulary.pairs):,} drawings ({len(vocabulary.concepts)} "
        f"concepts, {len(vocabulary.styles)} styles)"
        + (f" and {len(own)} images of one's own ({own.subject})" if own else "")
    )
