from dataclasses import replace

import torch

from instruct_imagen.training.draws import draw
from instruct_imagen.training.speed import work
from instruct_imagen.training.step import Encoded, TrainingStep, step_work
from tests.tiny import TEXT_DIM, awaken, own_unet, references, texts


def test_several_noises_an_example_equal_as_many_copies_of_it():
    model = awaken(own_unet())
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    text = texts(2, TEXT_DIM)
    # The first example has two references, the second has one.
    packed = references([0, 0, 1], batch=2, channels=3, size=16, dim=TEXT_DIM)
    together = Encoded(images=images, text=text, references=packed)
    picks = torch.tensor([0, 1, 0, 1, 2, 2])
    copies = Encoded(
        images=images[[0, 0, 1, 1]],
        text=text.repeated(2),
        references=type(packed)(
            images=packed.images[picks],
            text=type(text)(
                states=packed.text.states[picks],
                mask=packed.text.mask[picks],
                markers=packed.text.markers[picks],
            ),
            reference=torch.arange(6),
            sample=torch.tensor([0, 0, 1, 1, 2, 3]),
            slot=packed.slot[picks],
            markers=packed.markers[picks],
            batch_size=4,
            slots=2,
        ),
    )
    step = TrainingStep(model)
    draws = draw(1, rows=range(4), total=4, shape=(3, 16, 16), shift=1.0)
    losses = [step(encoded, draws) for encoded in (together, copies)]
    torch.testing.assert_close(losses[0], losses[1])
    assert losses[0].unique().numel() == 4


def test_shared_references_give_the_losses_and_gradients_of_copies():
    """Samples 0 and 1 share three references, sample 2 has none, sample 3 shares one of them."""
    reference, sample, slot = [0, 1, 2, 0, 1, 2, 1, 3], [0, 0, 0, 1, 1, 1, 3, 3], [0, 1, 2] * 2
    drawn = references([0, 0, 0, 3], batch=4, channels=3, size=16, dim=TEXT_DIM)
    shared = replace(
        drawn,
        reference=torch.tensor(reference),
        sample=torch.tensor(sample),
        slot=torch.tensor([*slot, 0, 1]),
    )
    own = {name: getattr(shared.text, name)[reference] for name in ("states", "mask", "markers")}
    copies = replace(
        shared,
        images=shared.images[reference],
        text=replace(shared.text, **own),
        markers=shared.markers[reference],
        reference=torch.arange(8),
    )
    step = TrainingStep(awaken(own_unet()))
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    draws = draw(1, rows=range(8), total=8, shape=(3, 16, 16), shift=1.0)
    losses, gradients, amounts = [], [], []
    for packed in (shared, copies):
        encoded = Encoded(images=images, text=texts(4, TEXT_DIM), references=packed)
        step.zero_grad()
        losses.append(step(encoded, draws))
        losses[-1].sum().backward()
        gradients.append({name: weight.grad.clone() for name, weight in step.named_parameters()})
        amounts.append(step_work(step.model, encoded, draws))
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)
    assert amounts[0] < amounts[1]


class Silent(torch.nn.Module):
    """In the network's place: remembers what it is given and predicts zero."""

    def encode_context(self, references, grid):
        return texts(1, TEXT_DIM)

    def forward(self, sample, timesteps, text, context):
        self.sample, self.timesteps = sample, timesteps
        return torch.zeros_like(sample)


def test_the_loss_is_that_of_v_against_the_closed_form():
    """[Hu24] A.2.2: v = α·ε - σ·x, and Z = α·x + σ·ε goes into the network."""
    images = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    packed = references([0, 1, 2], batch=3, channels=3, size=8, dim=TEXT_DIM)
    encoded = Encoded(images=images, text=texts(3, TEXT_DIM), references=packed)
    draws = draw(5, rows=range(3), total=3, shape=(3, 8, 8), shift=1.0)
    network = Silent()
    losses = TrainingStep(network)(encoded, draws)
    # The cosine schedule of Nichol and Dhariwal 2021, eq. 17, as betas capped at 0.999.
    time = torch.arange(1001, dtype=torch.float64) / 1000
    bar = torch.cos((time + 0.008) / 1.008 * torch.pi / 2).square()
    kept = (1 - (1 - bar[1:] / bar[:-1]).clamp(max=0.999)).cumprod(0)
    alpha = kept[draws.timesteps].sqrt()[:, None, None, None].float()
    sigma = (1 - kept[draws.timesteps]).sqrt()[:, None, None, None].float()
    torch.testing.assert_close(network.sample, alpha * images + sigma * draws.noise)
    target = alpha * draws.noise - sigma * images
    torch.testing.assert_close(losses, target.square().mean(dim=(1, 2, 3)))
    assert torch.equal(network.timesteps, draws.timesteps)


def test_a_batch_without_references_gives_every_weight_a_gradient():
    step = TrainingStep(awaken(own_unet()))
    nothing = references([], batch=2, channels=3, size=16, dim=TEXT_DIM)
    encoded = Encoded(images=torch.randn(2, 3, 16, 16), text=texts(2, TEXT_DIM), references=nothing)
    step(encoded, draw(1, rows=range(2), total=2, shape=(3, 16, 16), shift=1.0)).sum().backward()
    for name, parameter in step.named_parameters():
        assert parameter.grad is not None, name


def test_the_work_of_a_step_is_counted_without_taking_it():
    model = awaken(own_unet())
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    packed = references([0, 0, 1], batch=2, channels=3, size=16, dim=TEXT_DIM)
    encoded = Encoded(images=images, text=texts(2, TEXT_DIM), references=packed)
    draws = draw(1, rows=range(4), total=4, shape=(3, 16, 16), shift=1.0)
    counted = step_work(model, encoded, draws)
    assert all(weight.grad is None for weight in model.parameters())
    step = TrainingStep(model)
    assert counted == work(lambda: step(encoded, draws).sum().backward()) > 0
