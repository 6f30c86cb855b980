from __future__ import annotations

import pytest
import torch

from instruct_imagen.diffusion.objective import (
    RESIDUAL_STD,
    TIMESTEPS,
    add_noise,
    draw_condition_drop,
    draw_timesteps,
    sampling_scheduler,
    training_scheduler,
    v_of_residual,
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


@pytest.mark.parametrize(("step", "level"), [(30, 0), (400, 200), (900, 50)])
def test_an_upscalers_first_answer_is_the_best_one_and_its_error_of_known_size(step, level):
    """Where pictures differ by Gaussian noise from the small one, no linear answer is better."""
    scheduler, generator = training_scheduler(), torch.Generator().manual_seed(0)
    shape = (1, 1, 400, 400)

    def normal() -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    small = normal()
    kept = float(scheduler.alphas_cumprod[level])
    variance = RESIDUAL_STD**2 + 1 - kept
    images = kept**0.5 * small + variance**0.5 * normal()
    noised = add_noise(scheduler, images, normal(), torch.tensor([step]))

    def answer(output: torch.Tensor) -> torch.Tensor:
        steps, levels = torch.tensor([step]), torch.tensor([level])
        return v_of_residual(scheduler, output, noised.sample, steps, small, levels)

    silent = answer(torch.zeros(shape))
    missing = noised.target - silent
    alpha = float(scheduler.alphas_cumprod[step])
    size = variance / (alpha * variance + 1 - alpha)
    assert float(missing.square().mean()) == pytest.approx(size, rel=0.02)
    for known in (small, noised.sample):
        correlation = torch.corrcoef(torch.stack([missing.flatten(), known.flatten()]))[0, 1]
        assert abs(float(correlation)) < 0.01
    # What the network says is in units of that error.
    torch.testing.assert_close(answer(missing / size**0.5), noised.target, rtol=1e-4, atol=1e-4)
