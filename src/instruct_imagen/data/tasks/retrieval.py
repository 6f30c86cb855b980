"""Retrieval-augmented text-to-image training, stage 1 ([Hu24] §3.2, A.2.2), as a task.

The text is a plain caption, so there are no templates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruct_imagen.data.clusters.by_concept import TASK_NAME, cluster_examples

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.example import Example
    from instruct_imagen.data.world.vocabulary import Vocabulary


class Retrieval:
    """One pair of a cluster is text and target, three others are the context."""

    name = TASK_NAME
    forms = ()

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """One cluster, one target of it."""
        return self.cluster_examples(rng, vocabulary)[0]

    def cluster_examples(
        self, rng: np.random.Generator, vocabulary: Vocabulary
    ) -> tuple[Example, ...]:
        """One cluster, two targets of it, which share their context."""
        return cluster_examples(rng, vocabulary)


TASK = Retrieval
