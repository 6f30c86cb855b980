"""The pipeline of an upscaler."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from PIL import Image

from instruct_imagen import (
    InstructImagenPipeline,
    Instruction,
    Reference,
    SuperResolutionPipeline,
    TextEncoder,
)
from instruct_imagen.cli.generate import MAX_UPSCALER_STEPS
from instruct_imagen.diffusion.objective import sampling_scheduler
from instruct_imagen.images import to_pil, to_tensor
from instruct_imagen.instruction import ROLES
from instruct_imagen.model.super_resolution import SuperResolutionUNet, enlarged
from instruct_imagen.pipeline import ModelError
from instruct_imagen.super_resolution import MOST_STEPS
from tests import tiny


@pytest.fixture(scope="module")
def encoder():
    return TextEncoder(max_markers=4)


def made(encoder, **settings):
    network = tiny.awaken(tiny.own_upscaler())
    found = SuperResolutionPipeline(network, encoder, sampling_scheduler(), **settings)
    found.set_progress_bar_config(disable=True)
    return found


def picture(seed, side=4):
    return np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)


INSTRUCTIONS = (
    Instruction("A dog."),
    Instruction("Draw [ref#1] again.", (Reference(1, picture(1, 20), "dog", "subject"),)),
)


def seeded(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_a_batch_equals_its_singles(encoder, guidance_scale):
    pipeline = made(encoder)
    options = {"num_inference_steps": 3, "output_type": "pt", "guidance_scale": guidance_scale}
    small = [picture(2), picture(3)]
    batch = pipeline(INSTRUCTIONS, small, generator=seeded(1, 2), **options).images
    assert batch.shape == (2, 3, 16, 16)
    assert batch.abs().max() <= 1
    for index, (one, low) in enumerate(zip(INSTRUCTIONS, small, strict=True)):
        single = pipeline(one, low, generator=seeded(1 + index), **options).images
        torch.testing.assert_close(single[0], batch[index], rtol=1e-3, atol=1e-3)


def test_the_small_picture_its_noise_and_the_references_matter(encoder):
    pipeline = made(encoder)

    def result(small=2, reference=1, **options):
        shown = (Reference(1, picture(reference, 20), "dog", "subject"),)
        one = Instruction("Draw [ref#1] again.", shown)
        options |= {"num_inference_steps": 2, "output_type": "np"}
        return pipeline(one, picture(small), generator=seeded(1), **options).images

    usual = result()
    assert np.array_equal(usual, result())
    for changed in (result(small=3), result(reference=4), result(noise_level=0.5)):
        assert np.abs(changed - usual).max() > 1e-3


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_a_reference_is_encoded_once_whatever_the_steps_and_the_guidance(
    encoder, monkeypatch, guidance_scale
):
    pipeline = made(encoder)
    encoded = []
    down = pipeline.unet._encode_down

    def counted(references, **inputs):
        encoded.append(len(references.images))
        return down(references, **inputs)

    monkeypatch.setattr(pipeline.unet, "_encode_down", counted)
    small = [picture(2), picture(3)]
    pipeline(INSTRUCTIONS, small, num_inference_steps=4, guidance_scale=guidance_scale)
    assert encoded == [1]


def test_a_reference_lends_what_the_small_picture_lacks(encoder):
    pipeline = made(encoder)
    true = picture(1, 16)
    small = Image.fromarray(true).resize((4, 4), Image.Resampling.BOX)
    again = Instruction("Draw [ref#1] again.", (Reference(1, true, "content image"),))
    given = [again, Instruction("A dog.")]
    found, alone = (np.asarray(one, float) for one in pipeline.lent(given, [small, small]))
    assert np.abs(found - true).max() <= 1  # of 255: the small picture is rounded
    plain = to_pil(enlarged(to_tensor([small], 4), 16))[0]
    assert np.array_equal(alone, plain)
    # It is where the network begins, and what it adds to.
    torch.nn.init.zeros_(pipeline.unet.unet.conv_out.weight)
    torch.nn.init.zeros_(pipeline.unet.unet.conv_out.bias)
    seen = []
    pipeline.unet.register_forward_pre_hook(
        lambda _, given, named: seen.append(named["low"].details), with_kwargs=True
    )
    drawn = pipeline(given, [small, small], num_inference_steps=2).images
    assert np.abs(np.asarray(drawn[0], float) - found).max() <= 1
    assert seen[0][0].abs().max() > 0.1
    assert not seen[0][1].any()
    with pytest.raises(ValueError, match="1 images for 2 instructions: give one each"):
        pipeline.lent(given, small)


@pytest.mark.parametrize("role", [*ROLES, None])
def test_what_shows_a_layout_lends_nothing(encoder, role):
    true = picture(1, 16)
    small = Image.fromarray(true).resize((4, 4), Image.Resampling.BOX)
    one = Instruction("Draw [ref#1].", (Reference(1, true, "image", role),))
    found = np.asarray(made(encoder).lent(one, small)[0], float)
    lends = np.abs(found - true).max() <= 1
    assert lends == (role not in ("edge", "sketch", "depth", "mask"))
    if not lends:
        plain = to_pil(enlarged(to_tensor([small], 4), 16))[0]
        assert np.array_equal(found, np.asarray(plain))


def test_guidance_compares_with_a_half_that_is_lent_nothing(encoder):
    pipeline = made(encoder)
    seen = []
    pipeline.unet.register_forward_pre_hook(
        lambda _, given, named: seen.append(named["low"]), with_kwargs=True
    )
    one = Instruction("Draw [ref#1] again.", (Reference(1, picture(1, 16), "content image"),))
    pipeline(one, picture(2), num_inference_steps=1, guidance_scale=2.0)
    (low,) = seen
    assert low.details[0].any()
    assert not low.details[1].any()
    assert torch.equal(low.picture[1], enlarged(to_tensor([picture(2)], 4), 16)[0])
    assert torch.equal(low.images[0], low.images[1])


def test_an_upscaler_without_a_place_for_details_is_refused(encoder):
    network = tiny.own_upscaler()
    network.unet.register_to_config(in_channels=24)
    with pytest.raises(ModelError, match=r"takes 24 channels where 36 .* train anew"):
        SuperResolutionPipeline(network, encoder, sampling_scheduler())


SCHEDULERS = (
    DPMSolverMultistepScheduler, DDIMScheduler, DDPMScheduler, UniPCMultistepScheduler,
    EulerDiscreteScheduler, HeunDiscreteScheduler,
)  # fmt: skip


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 2, 20])
def test_a_silent_network_gives_the_enlarged_picture(encoder, scheduler, steps):
    pipeline = made(encoder)
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    torch.nn.init.zeros_(pipeline.unet.unet.conv_out.weight)
    torch.nn.init.zeros_(pipeline.unet.unet.conv_out.bias)
    seen = []
    pipeline.unet.register_forward_pre_hook(
        lambda _, given: seen.append(int(given[1].flatten()[0]))
    )
    options = {"output_type": "pt", "noise_level": 0.5, "num_inference_steps": steps}
    result = pipeline(INSTRUCTIONS[0], picture(2), generator=seeded(1), **options).images
    expected = enlarged(to_tensor([picture(2)], 4), 16)
    # A sampler that adds noise ends with a trace of it.
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-4)
    assert 450 < seen[0] < MOST_STEPS == MAX_UPSCALER_STEPS


def test_one_that_was_trained_on_text_alone_never_sees_references(encoder, tmp_path):
    pipeline = made(encoder, references=False)
    pipeline.save_pretrained(tmp_path)
    again = SuperResolutionPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    results = []
    for found in (pipeline, again):
        for seed in (1, 2):
            shown = (Reference(1, picture(seed, 20), "dog", "subject"),)
            one = Instruction("Draw [ref#1] again.", shown)
            options = {"num_inference_steps": 2, "output_type": "np", "generator": seeded(1)}
            results.append(found(one, picture(3), **options).images)
    for other in results[1:]:  # memory lies otherwise in one that was read again: rounding differs
        np.testing.assert_allclose(results[0], other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("one", INSTRUCTIONS)
def test_half_precision_stays_finite_and_close(encoder, dtype, one):
    options = {"num_inference_steps": 3, "output_type": "np", "guidance_scale": 2.0}
    pipeline = made(encoder)
    usual = pipeline(one, picture(2), generator=seeded(1), **options).images
    torch.nn.Module.to(pipeline.unet, dtype)
    half = pipeline(one, picture(2), generator=seeded(1), **options).images
    assert np.isfinite(half).all()
    assert np.abs(half - usual).mean() < 0.02


def test_what_a_base_model_returns_can_be_enlarged(encoder):
    base = InstructImagenPipeline(tiny.own_unet(), encoder, sampling_scheduler())
    base.set_progress_bar_config(disable=True)
    pipeline, one = made(encoder), INSTRUCTIONS[0]
    options = {"num_inference_steps": 2, "generator": seeded(1)}
    results = []
    for output_type in ("pil", "pt"):
        small = base(one, output_type=output_type, **options | {"generator": seeded(2)}).images
        found = pipeline(one, small, output_type="np", **options | {"generator": seeded(1)})
        results.append(found.images)
    assert np.array_equal(*results)
    single = pipeline(one, small_of(base, one), output_type="np", generator=seeded(1), **STEPS)
    assert np.array_equal(single.images, results[0])


STEPS = {"num_inference_steps": 2}


def small_of(base, one):
    return base(one, generator=seeded(2), **STEPS).images[0]


def test_a_network_of_the_other_kind_is_refused(encoder):
    with pytest.raises(ModelError, match="no upscaler: use InstructImagenPipeline"):
        SuperResolutionPipeline(tiny.own_unet(), encoder, sampling_scheduler())
    with pytest.raises(ModelError, match="is an upscaler: use SuperResolutionPipeline"):
        InstructImagenPipeline(tiny.own_upscaler(), encoder, sampling_scheduler())
    learned = SuperResolutionUNet.from_unet(tiny.if_upscaler(), low_size=4)
    with pytest.raises(ModelError, match=r"gives 6 channels where 3 .*learned variance"):
        SuperResolutionPipeline(learned, encoder, sampling_scheduler())


def test_wrong_input_names_the_cure(encoder):
    pipeline = made(encoder)
    with pytest.raises(ValueError, match="1 images for 2 instructions: give one each"):
        pipeline(INSTRUCTIONS, [picture(1)])
    for level in (-0.1, 0.6, float("nan")):
        with pytest.raises(ValueError, match=r"noise_level must lie in 0 to 0\.5, which this"):
            pipeline(INSTRUCTIONS[0], picture(1), noise_level=level)
    with pytest.raises(ValueError, match="num_inference_steps must be at least 1"):
        pipeline(INSTRUCTIONS[0], picture(1), num_inference_steps=0)
    with pytest.raises(ValueError, match="num_inference_steps must be at most 750"):
        pipeline(INSTRUCTIONS[0], picture(1), num_inference_steps=751)
