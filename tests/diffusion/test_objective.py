from __future__ import annotations

import pytest
import torch

from instruct_imagen.diffusion.objective import (
    LEAST_NOISE,
    RESIDUAL_STD,
    TIMESTEPS,
    add_noise,
    clean_loss,
    clean_of_residual,
    draw_condition_drop,
    draw_timesteps,
    per_sample_loss,
    sampling_scheduler,
    training_scheduler,
    v_of_clean,
)


def test_v_target_against_its_closed_form():
    scheduler = training_scheduler()
    images, noise = torch.randn(6, 3, 4, 4), torch.randn(6, 3, 4, 4)
    steps = torch.tensor([0, 1, 250, 500, 900, 999])
    noised = add_noise(scheduler, images, noise, steps)
    alpha = scheduler.alphas_cumprod[steps].sqrt()[:, None, None, None]
    sigma = (1 - scheduler.alphas_cumprod[steps]).sqrt()[:, None, None, None]
    assert torch.allclose(noised.sample, alpha * images + sigma * noise, atol=1e-6)
    assert torch.allclose(noised.target, alpha * noise - sigma * images, atol=1e-6)
    # From z and v, both the image and the noise follow: what the samplers rely on.
    assert torch.allclose(alpha * noised.sample - sigma * noised.target, images, atol=1e-5)


def test_the_schedule_is_the_cosine_of_nichol_and_dhariwal():
    steps = torch.arange(TIMESTEPS, dtype=torch.float64)
    cosine = torch.cos(((steps + 1) / TIMESTEPS + 0.008) / 1.008 * torch.pi / 2) ** 2
    expected = cosine / torch.cos(torch.tensor(0.008 / 1.008 * torch.pi / 2)) ** 2
    found = training_scheduler().alphas_cumprod.double()
    assert torch.allclose(found[:-1], expected[:-1], atol=1e-4)
    # The last step is noise for all that matters, and sampling starts there.
    assert found[-1] < 1e-8
    sampler = sampling_scheduler()
    sampler.set_timesteps(20)
    assert sampler.timesteps[0] == TIMESTEPS - 1
    assert torch.allclose(sampler.alphas_cumprod, training_scheduler().alphas_cumprod)


def test_timesteps_are_stratified_and_shifted():
    steps = draw_timesteps(100, torch.Generator().manual_seed(0))
    assert sorted(step // 10 for step in steps.tolist()) == list(range(100))
    shifted = draw_timesteps(4000, torch.Generator().manual_seed(0), shift=3.0)
    # u → 3u / (1 + 2u): the median moves from 500 to 750.
    assert abs(shifted.float().median() - 750) < 5
    with pytest.raises(ValueError, match="must be positive"):
        draw_timesteps(4, torch.Generator(), shift=0)


def test_the_two_drops_are_independent_and_per_sample():
    drop = draw_condition_drop(200_000, torch.Generator().manual_seed(0))
    assert abs(drop.text.float().mean() - 0.1) < 0.003
    assert abs(drop.context.float().mean() - (0.1 + 0.9 * 0.1)) < 0.003
    assert drop.context[drop.text].all()
    with pytest.raises(ValueError, match="drop_context"):
        draw_condition_drop(4, torch.Generator(), drop_context=1.5)


def test_an_upscaler_says_what_the_small_picture_lacks():
    scheduler, generator = training_scheduler(), torch.Generator().manual_seed(0)
    images, low, noise = (torch.randn(4, 3, 8, 8, generator=generator) for _ in range(3))
    steps = torch.tensor([150, 400, 800, 999])
    noised = add_noise(scheduler, images, noise, steps)
    assert torch.equal(clean_of_residual(torch.zeros_like(images), low), low)
    clean = clean_of_residual((images - low) / RESIDUAL_STD, low)
    v = v_of_clean(scheduler, clean, noised.sample, steps)
    torch.testing.assert_close(v, noised.target, rtol=1e-3, atol=1e-3)
    assert clean_loss(scheduler, clean, images, steps).max() < 1e-6


def test_its_loss_weighs_errors_by_what_is_undecided():
    scheduler, generator = training_scheduler(), torch.Generator().manual_seed(0)
    images, other = (torch.randn(4, 3, 8, 8, generator=generator) for _ in range(2))
    steps = torch.tensor([20, 200, 500, 999])
    kept = scheduler.alphas_cumprod[steps]
    noise = ((1 - kept) / kept).sqrt()
    assert noise[0] < LEAST_NOISE < noise[1]
    noise[0] = LEAST_NOISE
    expected = (1 + (RESIDUAL_STD / noise) ** 2) * per_sample_loss(other, images) / RESIDUAL_STD**2
    torch.testing.assert_close(clean_loss(scheduler, other, images, steps), expected)
