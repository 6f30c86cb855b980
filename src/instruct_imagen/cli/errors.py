"""Which errors are the user's to mend: they become one line, everything else is a bug."""

from __future__ import annotations


class UsageError(ValueError):
    """Arguments that do not fit together."""


def user_errors() -> tuple[type[BaseException], ...]:
    """The error classes that name a place and a cure."""
    from instruct_imagen.data.annotators.base import AnnotatorError
    from instruct_imagen.data.clusters.rows import ClusterError
    from instruct_imagen.data.corpora.base import CorpusError
    from instruct_imagen.data.corpus_tasks.base import CorpusTaskError
    from instruct_imagen.data.mixture import MixtureError
    from instruct_imagen.data.photographs import PhotographError
    from instruct_imagen.data.shards.layout import ShardError
    from instruct_imagen.data.tasks.base import TemplateError
    from instruct_imagen.data.world.atlas import AtlasError
    from instruct_imagen.data.world.sources import WorldUnavailable
    from instruct_imagen.data.world.vocabulary import VocabularyError
    from instruct_imagen.evaluation.case import EvaluationError
    from instruct_imagen.images import ImageError
    from instruct_imagen.instruction import InstructionError
    from instruct_imagen.pipeline import ModelError
    from instruct_imagen.recipes import RecipeError
    from instruct_imagen.training.checkpoint import CheckpointError
    from instruct_imagen.training.guards import TrainingDivergedError
    from instruct_imagen.training.interruptions import LostProcessError

    return (
        UsageError,
        EvaluationError,
        ModelError,
        InstructionError,
        ImageError,
        RecipeError,
        MixtureError,
        AnnotatorError,
        ClusterError,
        CorpusError,
        CorpusTaskError,
        PhotographError,
        ShardError,
        TemplateError,
        AtlasError,
        WorldUnavailable,
        VocabularyError,
        CheckpointError,
        TrainingDivergedError,
        LostProcessError,
        OSError,
    )
