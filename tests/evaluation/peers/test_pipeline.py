"""Saved pipelines as peers, and the names under which all peers are found."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler

from instruct_imagen.cascade import Cascade
from instruct_imagen.editing import SEAM, THRESHOLD
from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.peers.base import BatchGenerator
from instruct_imagen.evaluation.peers.pipeline import SavedPipeline, weight_files
from instruct_imagen.evaluation.peers.registry import open_model, peer_classes, peer_spec
from instruct_imagen.instruction import Instruction, Reference
from instruct_imagen.model.text import TextEncoder
from instruct_imagen.pipeline import InstructImagenPipeline, ModelError
from instruct_imagen.super_resolution import SuperResolutionPipeline
from tests.tiny import awaken, own_unet, own_upscaler

DOG = Reference(1, np.full((16, 16, 3), 90, np.uint8), "dog", "subject")
ASKED = [
    Instruction("Draw the [ref#1] dog.", (DOG,)),
    Instruction("A green field with a much longer text than the other one has."),
    Instruction("Draw a dog.", (DOG,)),  # never mentioned
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A tiny pipeline with real parts."""
    folder = tmp_path_factory.mktemp("saved")
    scheduler = DPMSolverMultistepScheduler(prediction_type="v_prediction")
    pipeline = InstructImagenPipeline(own_unet(), TextEncoder(max_markers=4), scheduler)
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """Folders of a base model of 4 pixels, and of the upscaler to 16 behind it."""
    folder = tmp_path_factory.mktemp("stages")
    parts = TextEncoder(max_markers=4), DPMSolverMultistepScheduler(prediction_type="v_prediction")
    InstructImagenPipeline(own_unet(size=4), *parts).save_pretrained(folder / "base")
    upscaler = SuperResolutionPipeline(awaken(own_upscaler()), *parts)
    upscaler.save_pretrained(folder / "upscaler")
    return folder / "base", folder / "upscaler"


def edit(side, *, masked=True):
    """An edit of noise, inside a square of it or anywhere."""
    source = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    mask = np.zeros_like(source)
    mask[side // 4 : side // 2, side // 4 : side // 2] = 255
    shown = (Reference(1, source, "image", "source"), Reference(2, mask, "mask", "mask"))
    asked = Instruction("Remove the dog from [ref#1] inside [ref#2].", shown)
    return asked if masked else Instruction("Remove the dog from [ref#1].", shown[:1])


def pixels(model, instruction):
    return np.asarray(model.generate(instruction, seed=1)).astype(int)


def test_every_peer_is_found_by_its_name():
    assert set(peer_classes()) == {
        "copy_reference", "diffusers_adapters", "nearest", "openai_edit", "pipeline",
    }  # fmt: skip


def test_what_is_no_peer_is_a_saved_pipeline():
    assert peer_spec("starter") == "pipeline:model=starter"
    assert peer_spec("out/a:b/export") == "pipeline:model=out/a:b/export"
    assert peer_spec("starter:steps=9", {"steps": "5", "guidance": "2"}) == (
        "pipeline:model=starter,guidance=2,steps=9"
    )
    assert peer_spec("pipeline:model=x,steps=1") == "pipeline:model=x,steps=1"
    assert peer_spec("copy_reference:size=8", {"steps": "5"}) == "copy_reference:size=8"
    with pytest.raises(ModelError, match="there is no model 'copyreference'"):
        open_model("copyreference")


def test_an_image_depends_on_its_seed_and_not_on_its_batch(saved):
    model = open_model(f"{saved}:steps=3")
    assert isinstance(model, BatchGenerator)
    assert (model.size, model.raw_inputs, model.batch_size) == (16, False, 8)
    together = model.generate_batch(ASKED, seeds=[1, 2, 3])
    for image, asked, seed in zip(together, ASKED, (1, 2, 3), strict=True):
        alone = np.asarray(model.generate(asked, seed=seed)).astype(int)
        assert abs(alone - np.asarray(image)).max() <= 1
    other = np.asarray(model.generate(ASKED[0], seed=9)).astype(int)
    assert abs(other - np.asarray(together[0])).mean() > 5


def test_options_reach_the_pipeline(saved):
    asked = ASKED[0]
    plain = np.asarray(open_model(f"{saved}:steps=3").generate(asked, seed=1)).astype(int)
    for option in ("steps=4", "steps=3,guidance=1", "steps=3,guidance_kind=oscillating",
                   "steps=3,precision=bfloat16"):  # fmt: skip
        changed = np.asarray(open_model(f"{saved}:{option}").generate(asked, seed=1))
        assert (changed != plain).any(), option


def test_the_fingerprint_is_of_weights_and_settings(saved, tmp_path):
    own = SavedPipeline(model=str(saved)).fingerprint
    assert SavedPipeline(model=str(saved), batch="2").fingerprint == own
    assert SavedPipeline(model=str(saved), steps="3").fingerprint != own
    copied = tmp_path / "elsewhere"
    shutil.copytree(saved, copied)
    (copied / "README.md").write_text("a card")
    assert SavedPipeline(model=str(copied)).fingerprint == own
    weights = next(path for path in weight_files(copied) if path.suffix == ".safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert SavedPipeline(model=str(copied)).fingerprint != own


def test_a_pipeline_of_raw_inputs_says_so(saved, tmp_path):
    pipeline = InstructImagenPipeline.from_pretrained(saved)
    pipeline.register_to_config(instruction=False)
    pipeline.save_pretrained(tmp_path)
    assert SavedPipeline(model=str(tmp_path)).raw_inputs


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("steps=0", "steps=0 must be a whole number from 1"),
        ("guidance=strong", "guidance=strong must be a number"),
        ("guidance_kind=wild", "use one of constant, oscillating, interval"),
        ("precision=half", "use one of float32, bfloat16"),
        ("colour=red", "no option 'colour=red'"),
        ("device=toaster", "device=toaster cannot be used"),
    ],
)
def test_wrong_options_are_one_line(saved, option, words):
    with pytest.raises(EvaluationError, match=words):
        open_model(f"{saved}:{option}")


def test_threads_change_at_most_the_last_bit(saved):
    model = open_model(f"{saved}:steps=3")
    before = torch.get_num_threads()
    try:
        images = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            images.append(np.asarray(model.generate(ASKED[1], seed=4)).astype(int))
    finally:
        torch.set_num_threads(before)
    assert abs(images[0] - images[1]).max() <= 1


@pytest.mark.parametrize("side", [16, 24])
def test_edits_are_put_together_as_the_product_does(saved, side):
    model, asked = open_model(f"{saved}:steps=2"), edit(side)
    source, mask = (np.asarray(one.image).astype(int) for one in asked.references)
    found = pixels(model, asked)
    outside = mask[..., 0] == 0
    assert (found[outside] == source[outside]).all()
    assert (found[~outside] != source[~outside]).any()
    cascade = Cascade.from_pretrained(saved)
    (image,) = cascade(
        asked, num_inference_steps=2, generator=torch.Generator().manual_seed(1)
    ).images
    assert (found == np.asarray(image)).all()
    as_drawn = pixels(open_model(f"{saved}:steps=2,compositing=off"), asked)
    assert as_drawn.shape == (16, 16, 3)
    if side == 16:
        assert (as_drawn[outside] != source[outside]).any(axis=1).mean() > 0.9
    soft = pixels(open_model(f"{saved}:steps=2,seam=0.4"), asked)
    assert (soft != found).any() and (soft[outside] == source[outside]).all()


def test_what_differs_by_less_than_the_threshold_is_the_source(saved):
    asked = edit(16, masked=False)
    source = np.asarray(asked.references[0].image)
    assert (pixels(open_model(f"{saved}:steps=2,threshold=1"), asked) == source).all()
    assert (pixels(open_model(f"{saved}:steps=2,threshold=0"), asked) != source).any()


def test_an_upscaler_gives_images_and_references_its_size(stages):
    base, upscaler = stages
    model = open_model(f"{base}:steps=2,upscaler={upscaler},upscaler_steps=2")
    assert (model.size, open_model(f"{base}:steps=2").size) == (16, 4)
    asked = edit(16)
    source, mask = (np.asarray(one.image).astype(int) for one in asked.references)
    found = pixels(model, asked)
    outside = mask[..., 0] == 0
    assert (found[outside] == source[outside]).all() and (found != source).any()
    assert pixels(model, ASKED[1]).shape == (16, 16, 3)
    more = open_model(f"{base}:steps=2,upscaler={upscaler},upscaler_steps=3")
    assert (pixels(more, ASKED[1]) != pixels(model, ASKED[1])).any()


def test_the_fingerprint_tells_cascades_apart(saved, stages):
    base, upscaler = stages
    options = ("", "compositing=off", "threshold=0.3", "seam=0.1", f"upscaler={upscaler}",
               f"upscaler={upscaler},upscaler_steps=3")  # fmt: skip
    prints = {open_model(f"{base}:steps=2,{one}".rstrip(",")).fingerprint for one in options}
    assert len(prints) == len(options)
    # What is set to what it is anyway is the same.
    usual = f"{saved}:threshold={THRESHOLD},seam={SEAM}"
    assert open_model(usual).fingerprint == SavedPipeline(model=str(saved)).fingerprint


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("upscaler_steps=3", "upscaler_steps=3 needs an upscaler: name one, upscaler=FOLDER"),
        ("threshold=2", "threshold=2 must be a number from 0 to 1"),
        ("seam=0.6", "seam=0.6 must be a number from 0 to 0.5"),
        ("compositing=no", "compositing=no: use one of on, off"),
        ("compositing=off,seam=0.1", "seam=0.1 changes nothing with compositing=off"),
        ("upscaler=nobody", "there is no model 'nobody'"),
        ("upscaler=starter", "is a base model: name an upscaler"),
    ],
)
def test_wrong_options_of_a_cascade_are_one_line(saved, option, words):
    with pytest.raises(ValueError, match=words):
        open_model(f"{saved}:{option}")


def test_an_upscaler_of_other_pictures_is_refused(saved, stages):
    with pytest.raises(ModelError, match="enlarges 4 pixels, and the base model draws 16"):
        open_model(f"{saved}:upscaler={stages[1]}")
