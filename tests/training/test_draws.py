import torch

from instruct_imagen.training.draws import draw, rng_for, seed_of


def test_seeds_depend_on_all_their_numbers_and_their_order():
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 2), (0, 0), (0, 0, 0, 0)]
    assert len({seed_of(*key) for key in keys}) == len(keys)
    assert all(0 <= seed_of(*key) < 2**63 for key in keys)
    again = [torch.rand(2, generator=rng_for(0, 1, 2)) for _ in range(2)]
    assert torch.equal(again[0], again[1])


def test_a_sample_draws_the_same_however_its_step_is_cut():
    whole = draw(3, 1, 7, rows=range(8), total=8, shape=(3, 4, 4), shift=1.5)
    assert whole.noise.shape == (8, 3, 4, 4)
    for rows in (range(4), range(4, 8), [5], [7, 0]):
        cut = draw(3, 1, 7, rows=rows, total=8, shape=(3, 4, 4), shift=1.5)
        assert torch.equal(cut.noise, whole.noise[list(rows)])
        assert torch.equal(cut.timesteps, whole.timesteps[list(rows)])
    other = draw(3, 1, 8, rows=range(8), total=8, shape=(3, 4, 4), shift=1.5)
    assert not torch.equal(other.noise, whole.noise)


def test_noise_is_standard_normal_and_levels_are_stratified():
    drawn = draw(0, rows=range(50), total=50, shape=(3, 16, 16), shift=1.0)
    assert abs(float(drawn.noise.mean())) < 0.02
    assert abs(float(drawn.noise.std()) - 1) < 0.02
    # Different samples, different noise.
    correlation = torch.corrcoef(drawn.noise.flatten(1)).fill_diagonal_(0).abs().max()
    assert correlation < 0.2
    assert sorted((drawn.timesteps * 50 // 1000).tolist()) == list(range(50))


def test_levels_end_at_the_highest_and_noise_stays():
    given = {"total": 8, "shape": (3, 4, 4), "shift": 1.0}
    whole = draw(3, 1, 7, rows=range(8), **given)
    lower = draw(3, 1, 7, rows=range(8), highest=0.75, **given)
    assert sorted((lower.timesteps * 8 // 750).tolist()) == list(range(8))
    assert torch.equal(lower.noise, whole.noise)


def test_the_noise_on_an_upscalers_input_is_its_own_and_changes_no_other_draw():
    given = {"total": 8, "shape": (3, 4, 4), "shift": 1.5}
    whole = draw(3, 1, 7, rows=range(8), low_noise=0.5, low_size=4, **given)
    base = draw(3, 1, 7, rows=range(8), **given)
    assert base.low is None
    assert torch.equal(whole.noise, base.noise)
    assert torch.equal(whole.timesteps, base.timesteps)
    assert not torch.equal(whole.low.noise, whole.noise)
    # Evenly up to half of the levels, and not in step with the picture's own.
    assert sorted((whole.low.timesteps * 8 // 500).tolist()) == list(range(8))
    assert whole.low.timesteps.argsort().tolist() != whole.timesteps.argsort().tolist()
    cut = draw(3, 1, 7, rows=[5, 2], low_noise=0.5, low_size=4, **given)
    assert torch.equal(cut.low.noise, whole.low.noise[[5, 2]])
    assert torch.equal(cut.low.timesteps, whole.low.timesteps[[5, 2]])
