import torch

from instruct_imagen.diffusion.objective import training_scheduler
from instruct_imagen.training.step import Encoded, step_loss
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
            sample=torch.tensor([0, 0, 1, 1, 2, 3]),
            slot=packed.slot[picks],
            markers=packed.markers[picks],
            batch_size=4,
            slots=2,
        ),
    )
    losses = [
        step_loss(
            model,
            training_scheduler(),
            encoded,
            torch.Generator().manual_seed(1),
            timestep_shift=1.0,
            noises=noises,
        )
        for encoded, noises in ((together, 2), (copies, 1))
    ]
    assert torch.equal(losses[0].timesteps, losses[1].timesteps)
    torch.testing.assert_close(losses[0].per_sample, losses[1].per_sample)
    assert losses[0].per_sample.unique().numel() == 4
