"""The upscaler's network."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from instruct_imagen.model.super_resolution import (
    LowResolution,
    SuperResolutionUNet,
    enlarged,
    shrunk,
)
from tests import tiny


def low(count: int, size: int = 16, seed: int = 7, level: int = 50) -> LowResolution:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, size, size, generator=generator)
    return LowResolution(
        images=images,
        levels=torch.full((count,), level),
        details=torch.zeros_like(images),
        picture=images,
    )


@pytest.mark.parametrize("owners", [[], [0, 0, 1]])
def test_an_adapted_second_stage_is_bit_identical_before_its_first_step(owners):
    backbone = tiny.if_upscaler()
    adapted = SuperResolutionUNet.from_unet(backbone, low_size=4).eval()
    sample, steps, text = torch.randn(2, 3, 16, 16), torch.tensor([10, 900]), tiny.texts(2, 24)
    small = low(2)
    given = tiny.references(owners, batch=2, channels=3, size=16, dim=24)
    with torch.no_grad():
        expected = backbone(
            torch.cat([sample, small.images], dim=1),
            steps,
            text.states,
            class_labels=small.levels,
            encoder_attention_mask=text.mask,
            return_dict=False,
        )[0]
        context = adapted.encode_context(given, (16, 16))
        assert torch.equal(adapted(sample, steps, text, context, low=small), expected)


def test_it_sees_the_small_picture_its_noise_level_and_the_references():
    model = tiny.awaken(tiny.own_upscaler())
    sample, steps, text = torch.randn(1, 3, 16, 16), torch.tensor([500]), tiny.texts(1, 384)

    def output(small: LowResolution, seed: int | None = 2) -> torch.Tensor:
        owners = [] if seed is None else [0]
        given = tiny.references(owners, batch=1, channels=3, size=16, dim=384, seed=seed or 0)
        with torch.no_grad():
            return model(sample, steps, text, model.encode_context(given, (16, 16)), low=small)

    usual = output(low(1))
    assert usual.shape == (1, 3, 16, 16)
    assert torch.equal(usual, output(low(1)))
    lent = replace(low(1), details=torch.randn(1, 3, 16, 16))
    others = (output(low(1, seed=8)), output(low(1, level=400)), output(low(1), 3), output(lent))
    for changed in (*others, output(low(1), None)):
        assert (changed - usual).abs().max() > 1e-4


def test_gradients_reach_the_encoder_through_the_references():
    model = tiny.awaken(tiny.own_upscaler())
    given = tiny.references([0], batch=1, channels=3, size=16, dim=384)
    given.images.requires_grad_()
    context = model.encode_context(given, (16, 16))
    model(
        torch.randn(1, 3, 16, 16), torch.tensor([500]), tiny.texts(1, 384), context, low=low(1)
    ).sum().backward()
    assert given.images.grad.abs().max() > 0


def test_one_batch_follows_the_other():
    small, other = low(2), low(1, seed=8, level=3)
    both = small.concatenated(other)
    assert torch.equal(both.images, torch.cat([small.images, other.images]))
    assert torch.equal(both.picture, torch.cat([small.picture, other.picture]))
    assert len(both.details) == 3
    assert both.levels.tolist() == [50, 50, 3]


def test_shrinking_averages_and_enlarging_keeps_what_is_flat():
    images = torch.arange(16.0).reshape(1, 1, 4, 4).expand(1, 3, 4, 4)
    assert shrunk(images, 2)[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    flat = torch.full((1, 3, 4, 4), 0.25)
    assert torch.allclose(enlarged(flat, 16), torch.full((1, 3, 16, 16), 0.25))
    assert enlarged(torch.randn(1, 3, 4, 4) * 9, 16).abs().max() <= 1
    for wrong, size in ((images, 3), (images[..., :2], 2)):
        with pytest.raises(ValueError, match=r"cannot be averaged to .* give square ones"):
            shrunk(wrong, size)


def test_a_unet_without_a_place_for_the_noise_level_is_refused():
    with pytest.raises(ValueError, match=r"class_embed_type is None.*'timestep'"):
        SuperResolutionUNet.from_unet(tiny.if_unet(), low_size=4)


@pytest.mark.parametrize("low_size", [0, 5, 16, 32])
def test_a_size_that_does_not_fit_the_network_is_refused(low_size):
    with pytest.raises(ValueError, match=f"low_size={low_size} does not fit .* 16 pixels"):
        SuperResolutionUNet.from_unet(tiny.if_upscaler(), low_size=low_size)


def test_a_saved_upscaler_is_the_same(tmp_path):
    model = tiny.awaken(tiny.own_upscaler())
    model.save_pretrained(tmp_path)
    found = SuperResolutionUNet.from_pretrained(tmp_path)
    assert found.low_size == 4
    sample, text = torch.randn(1, 3, 16, 16), tiny.texts(1, 384)
    with torch.no_grad():
        outputs = [one(sample, torch.tensor([5]), text, low=low(1)) for one in (model, found)]
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-5)  # memory lies otherwise
    weights = found.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
