"""The examples of a stage, step by step, drawn and encoded ahead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from torch.utils.data import DataLoader, Dataset

from instruct_imagen.data.example import Example, without_instruction
from instruct_imagen.data.mixture import Mixture, drawable_ratios, left_out
from instruct_imagen.data.shards.mixture import StoredMixture
from instruct_imagen.model.text import TextEncoder
from instruct_imagen.recipes.config import TrainConfig, draws_from_shards
from instruct_imagen.training.packed_world import World
from instruct_imagen.training.processes import Processes
from instruct_imagen.training.shards import stage_mixture

_AHEAD = 8


@dataclass(frozen=True, kw_only=True)
class StepExamples(Dataset):
    """The examples of each step, of one process.

    Attributes:
        mixture: Of the stage.
        count: Examples of a step, in all processes.
        share: Which of them are this process's.
        instruction: False for their raw inputs alone.
    """

    mixture: Mixture | StoredMixture
    count: int
    share: range
    instruction: bool

    def __getitem__(self, step: int) -> list[Example]:
        """Those of a step of the stage, from 0."""
        first = step * self.count + self.share.start
        drawn = self.mixture.examples(first, first + len(self.share))
        return drawn if self.instruction else [without_instruction(example) for example in drawn]


def stage_stream(
    config: TrainConfig, stage: int, steps: range, world: World, processes: Processes
) -> Iterator[list[Example]]:
    """This process's examples of some steps of a stage.

    Args:
        config: The recipe.
        stage: Its number.
        steps: Of the stage, from 0.
        world: What the examples show, or the shards that they lie in.
        processes: Among which each step is shared out.
    """
    if draws_from_shards(config, config.stages[stage]) and not config.stages[stage].images:
        return iter(())  # whose tasks the shards need not have
    mixture = stage_mixture(config, stage, world.tasks, world.vocabulary, world.shards)
    count = config.batch_size // config.noises
    examples = StepExamples(
        mixture=mixture,
        count=count,
        share=processes.share(count),
        instruction=config.instruction,
    )
    return stream(examples, steps, world.encoder, workers=config.workers)


def left_out_of(config: TrainConfig, world: World) -> tuple[str, ...]:
    """A line for each task of a recipe that neither its world nor its shards have.

    Raises:
        MixtureError: A stage has no other task.
    """
    stages = [stage for stage in config.stages if stage.images]
    stored = {name for shards in world.shards for name in shards.names}
    for stage in stages:
        if not draws_from_shards(config, stage):
            drawable_ratios(world.tasks, stage.ratios, world.vocabulary)
    known = {
        name: ratio
        for stage in stages
        for name, ratio in stage.ratios.items()
        # Others are told by the mixture.
        if ratio > 0
        and name in world.tasks
        and not (name in stored and draws_from_shards(config, stage))
    }
    return left_out(world.tasks, known, world.vocabulary)


def stream(
    examples: StepExamples, steps: range, encoder: TextEncoder, *, workers: int
) -> Iterator[list[Example]]:
    """The examples of each step, with their texts encoded and kept.

    Those of several steps are encoded together: texts are encoded in blocks of like length, which
    few texts leave half empty.

    Args:
        examples: Of all steps.
        steps: Which of them.
        encoder: Keeps what it has encoded.
        workers: Processes that draw them ahead; 0 draws them here.
    """
    loader = DataLoader(
        examples, batch_size=None, sampler=steps, num_workers=workers, collate_fn=_as_it_is
    )
    drawn = iter(loader)
    while ahead := list(islice(drawn, _AHEAD)):
        encoder([example.text for step in ahead for example in step])
        yield from ahead


def _as_it_is(examples: list[Example]) -> list[Example]:
    """What a loader of whole steps does to them."""
    return examples
