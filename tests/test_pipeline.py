from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler
from PIL import Image

from instruct_imagen import Instruction, InstructionError, Reference, TextEncoder
from instruct_imagen.diffusion.objective import SCHEDULER_CONFIG, sampling_scheduler
from instruct_imagen.model.unet import InstructUNet
from instruct_imagen.pipeline import WEIGHTS, InstructImagenPipeline, local_model
from tests import tiny


@pytest.fixture(scope="module")
def encoder():
    return TextEncoder(max_markers=4)


@pytest.fixture
def pipeline(encoder):
    made = InstructImagenPipeline(tiny.awaken(tiny.own_unet()), encoder, sampling_scheduler())
    made.set_progress_bar_config(disable=True)
    return made


def picture(seed):
    return np.random.default_rng(seed).integers(0, 255, (20, 30, 3), dtype=np.uint8)


def instructions():
    return [
        Instruction("A dog."),
        Instruction("Draw [ref#1] again.", (Reference(1, picture(1), "dog", "subject"),)),
        Instruction(
            "The [ref#1] dog in the style of [ref#2].",
            (
                Reference(1, picture(2), "dog", "subject"),
                Reference(1, picture(3), "dog", "subject"),
                Reference(2, picture(4), "style image", "style"),
            ),
        ),
    ]


def seeded(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize("kind", ["constant", "oscillating"])
def test_a_batch_equals_its_singles(pipeline, kind):
    options = {"num_inference_steps": 4, "output_type": "pt", "guidance": kind}
    batch = pipeline(instructions(), generator=seeded(1, 2, 3), **options).images
    assert batch.shape == (3, 3, 16, 16)
    for index, one in enumerate(instructions()):
        single = pipeline(one, generator=seeded(index + 1), **options).images
        assert torch.allclose(batch[index], single[0], atol=2e-4)


def test_references_and_markers_reach_the_image(pipeline):
    def draw(instruction):
        return pipeline(
            instruction, generator=seeded(0), num_inference_steps=3, output_type="pt"
        ).images

    one = instructions()[2]
    swapped = Instruction(one.text, (*one.references[:2], Reference(2, picture(9), "style image")))
    assert not torch.allclose(draw(one), draw(swapped), atol=1e-3)
    assert not torch.allclose(draw(one), draw(Instruction("The dog in style.")), atol=1e-3)


def test_encoding_once_equals_encoding_at_each_step(pipeline):
    options = {"num_inference_steps": 4, "output_type": "pt"}
    calls = []
    encode = pipeline.unet.encode_context
    pipeline.unet.encode_context = lambda *given: calls.append(given) or encode(*given)
    once = pipeline(instructions(), generator=seeded(1, 2, 3), **options).images
    assert len(calls) == 2  # with the references, and without for guidance
    each = pipeline(
        instructions(), generator=seeded(1, 2, 3), reencode_each_step=True, **options
    ).images
    assert len(calls) == 2 + 4 * 2
    assert torch.equal(once, each)


def test_an_unguided_step_costs_one_forward(pipeline):
    seen = []
    pipeline.unet.unet.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    pipeline(Instruction("A dog."), num_inference_steps=4, guidance="oscillating")
    assert seen == [2, 1, 2, 1]


def test_ddpm_output_types_and_callback(encoder):
    pipeline = InstructImagenPipeline(
        tiny.own_unet(), encoder, DDPMScheduler(**SCHEDULER_CONFIG, thresholding=True)
    )
    pipeline.set_progress_bar_config(disable=True)
    steps = []

    def callback(owner, index, step, tensors):
        steps.append((index, step))
        return {"sample": torch.zeros_like(tensors["sample"])} if index == 2 else {}

    options = {"num_inference_steps": 3, "generator": seeded(5)}
    output = pipeline(
        Instruction("A dog."), output_type="np", callback_on_step_end=callback, **options
    )
    assert output.images.shape == (1, 16, 16, 3)
    assert np.allclose(output.images, 0.5)
    assert [index for index, _ in steps] == [0, 1, 2]
    assert steps[0][1] == 999
    images = pipeline(Instruction("A dog."), **options).images
    assert isinstance(images[0], Image.Image)
    assert images[0].size == (16, 16)


def test_saved_here_and_loaded_in_a_new_process_gives_the_same_image(pipeline, tmp_path):
    one = instructions()[2]
    one.to_json(tmp_path / "instruction.json")
    expected = pipeline(one, generator=seeded(7), num_inference_steps=3).images[0]
    pipeline.save_pretrained(tmp_path / "saved")
    script = (
        "import sys, torch\n"
        "from instruct_imagen import Instruction, InstructImagenPipeline\n"
        "pipeline = InstructImagenPipeline.from_pretrained(sys.argv[1] + '/saved')\n"
        "image = pipeline(Instruction.from_json(sys.argv[1] + '/instruction.json'),\n"
        "    generator=torch.Generator().manual_seed(7), num_inference_steps=3).images[0]\n"
        "image.save(sys.argv[1] + '/image.png')\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, capture_output=True)
    found = np.asarray(Image.open(tmp_path / "image.png"))
    assert np.array_equal(found, np.asarray(expected))


def test_a_network_of_raw_inputs_sees_neither_markers_nor_short_texts(pipeline, tmp_path):
    def draw(owner, text, *references):
        options = {"num_inference_steps": 3, "output_type": "pt", "generator": seeded(0)}
        return owner(Instruction(text, references), **options).images

    raw = InstructImagenPipeline(
        pipeline.unet, pipeline.text_encoder, pipeline.scheduler, instruction=False
    )
    raw.set_progress_bar_config(disable=True)
    marked = "Draw the [ref#1] dog in the style of [ref#2]."
    one = (Reference(1, picture(1), "dog", "subject"), Reference(2, picture(2), "style", "style"))
    # Other markers, other short texts; the same words, the same pictures in the same order.
    words = "[ref#3] [ref#4] Draw the dog in the style of."
    other = (Reference(3, picture(1), "cat"), Reference(4, picture(2), "edge map", "edge"))
    swapped = (Reference(1, picture(2), "dog"), Reference(2, picture(1), "style"))
    expected = draw(raw, marked, *one)
    assert torch.equal(expected, draw(raw, words, *other))
    assert not torch.equal(expected, draw(raw, marked, *swapped))
    assert not torch.equal(expected, draw(raw, "[ref#1] [ref#2] An owl.", *one))
    assert not torch.equal(expected, draw(pipeline, marked, *one))
    # No words at all are text, too: a raw style transfer has none.
    assert torch.isfinite(draw(raw, "[ref#1] [ref#2]", *one)).all()

    raw.save_pretrained(tmp_path / "raw")
    loaded = InstructImagenPipeline.from_pretrained(tmp_path / "raw")
    loaded.set_progress_bar_config(disable=True)
    assert loaded.instruction is False
    assert torch.equal(expected, draw(loaded, marked, *one))


def test_a_pipeline_saved_before_there_were_raw_ones_follows_instructions(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path / "saved")
    index = tmp_path / "saved/model_index.json"
    settings = json.loads(index.read_text())
    assert settings.pop("instruction") is True
    index.write_text(json.dumps(settings))
    assert InstructImagenPipeline.from_pretrained(tmp_path / "saved").instruction is True


def test_a_latent_backbone_shares_all_of_this(encoder):
    torch.manual_seed(0)
    unet = tiny.awaken(InstructUNet.from_unet(tiny.sd_unet(384), max_markers=4))
    vae = AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    pipeline = InstructImagenPipeline(unet, encoder, sampling_scheduler(), vae)
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline(instructions()[1], generator=seeded(1), num_inference_steps=2).images[0]
    assert image.size == (32, 32)


def test_wrong_input_is_one_clear_line(pipeline):
    with pytest.raises(InstructionError, match="9"):
        pipeline(Instruction("Draw [ref#9].", (Reference(9, picture(1), "dog"),)))
    with pytest.raises(ValueError, match="output_type must be pil, np or pt"):
        pipeline(Instruction("A dog."), output_type="jpeg")
    with pytest.raises(ValueError, match="2 generators for 1 instructions"):
        pipeline(Instruction("A dog."), generator=seeded(1, 2))


def test_the_starter_is_inside_the_package():
    assert (WEIGHTS / "starter" / "model_index.json").is_file()
    pipeline = InstructImagenPipeline.from_pretrained("starter")
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline.unet.dtype == torch.float32
    image = pipeline(Instruction("A dog."), num_inference_steps=2).images[0]
    assert image.size == (pipeline.size, pipeline.size)


def test_what_is_no_instruction_is_refused(pipeline):
    for wrong in ("A dog.", ["A dog."], [None]):
        with pytest.raises(ValueError, match="write Instruction"):
            pipeline(wrong)
    with pytest.raises(ValueError, match="at least one"):
        pipeline([])


def test_a_text_that_is_cut_is_said(pipeline):
    with pytest.warns(UserWarning, match="tokens longer than the 64"):
        pipeline(Instruction("A dog " * 60), num_inference_steps=1)


def test_a_run_folder_of_the_same_name_does_not_hide_the_packaged_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "starter").mkdir()
    assert local_model("starter") == WEIGHTS / "starter"
    (tmp_path / "starter/model_index.json").write_text("{}")
    assert local_model("starter") == Path("starter")
    assert local_model("nothing") is None


@pytest.mark.parametrize(("role", "lines_show"), [("edge", True), ("style", False)])
def test_thin_lines_of_a_large_map_of_edges_reach_the_network(pipeline, role, lines_show):
    pixels = np.zeros((160, 160, 3), np.uint8)
    pixels[:, 83] = 255
    one = Instruction("A dog that follows [ref#1].", (Reference(1, pixels, role, role),))
    assert bool(pipeline._references([one]).images.max() == 1) is lines_show
