"""From similarities to scores: thresholds of the embedding judge, kept with their models."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.reference_image import write_whole

VERSION = 1

REACHED, REACHED_FULL = 0.05, 0.01
"""Shares of mismatched pairs that reach the level of 0.5, and at most that of 1."""

MISSED = 0.02
"""Share of matched pairs that stay below the level of 1: a true picture has to score 1."""

MIN_MATCHED, MIN_MISMATCHED = 5, 20
"""Fewer pairs make no level: 20 are the least of which one is 5%."""


TOLERANCE = 1e-6
"""By so much float32 features move with what else is in their batch: a pair that made a level must
reach it again."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """From which similarity on a condition is partly met, and met.

    Attributes:
        measure: Which one, e.g. ``"dino_i"``.
        partly: Scores at least 0.5 from here on.
        full: Scores 1 from here on.
        matched: Pairs of which 2% stay below `full`, or more where wrong ones come near; 0 where
            it was given by hand.
        mismatched: Pairs of which `partly` is the 95th percentile.
    """

    measure: str
    partly: float
    full: float
    matched: int
    mismatched: int

    def value(self, similarity: float) -> float:
        """The score of a similarity."""
        reached = similarity + TOLERANCE
        return 1.0 if reached >= self.full else 0.5 if reached >= self.partly else 0.0


def level(
    kind: str,
    measure: str,
    matched: Sequence[float] | np.ndarray,
    mismatched: Sequence[float] | np.ndarray,
    given: float | None = None,
) -> Level:
    """The level of a kind of condition.

    Args:
        kind: Of the condition, or ``"pq"``; for errors.
        measure: See `Level`.
        matched: Similarities of right pairs.
        mismatched: Of wrong ones.
        given: The level of 1, where it is known from elsewhere; `matched` is not used then.

    Raises:
        EvaluationError: There are too few pairs, or wrong ones are as similar as right ones.
    """
    if len(mismatched) < MIN_MISMATCHED:
        raise EvaluationError(
            f"{kind}: the suite has {len(mismatched)} mismatched pairs for {measure}, too few for "
            f"a level that 5% reach: calibrate on a suite with {MIN_MISMATCHED} or more"
        )
    if given is None and len(matched) < MIN_MATCHED:
        raise EvaluationError(
            f"{kind}: the suite has {len(matched)} matched pairs for {measure}, fewer than "
            f"{MIN_MATCHED} (it needs targets, or several pictures of one thing): give the level "
            f"of 1 from elsewhere, --full {kind}=…"
        )
    partly = float(np.quantile(mismatched, 1 - REACHED))
    middle = float(np.median(matched)) if given is None else given
    if not partly < middle:
        raise EvaluationError(
            f"{kind}: 5% of the mismatched pairs reach {measure} {partly:.4f}, right ones only "
            f"{middle:.4f}: these models cannot tell them apart, use others"
        )
    if given is None:  # where right pairs are not clearly nearer, wrong ones decide
        reached = float(np.quantile(mismatched, 1 - REACHED_FULL))
        full = max(reached, float(np.quantile(matched, MISSED)))
    else:
        full = given
    return Level(
        measure=measure,
        partly=partly,
        full=full,
        matched=len(matched) if given is None else 0,
        mismatched=len(mismatched),
    )


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Levels, and the models that they hold for.

    Attributes:
        models: ``clip`` and ``dino``: the name that each was loaded by, and the hash of its
            weights, config, processor and tokenizer.
        levels: Kind of condition, or ``"pq"`` → its level.
    """

    models: Mapping[str, Mapping[str, str]]
    levels: Mapping[str, Level]

    def to_dict(self) -> dict[str, Any]:
        """As it is stored."""
        levels = {kind: asdict(one) for kind, one in sorted(self.levels.items())}
        models = {name: dict(one) for name, one in sorted(self.models.items())}
        return {"version": VERSION, "models": models, "levels": levels}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a JSON file, whole or not at all; missing folders are made."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, (json.dumps(self.to_dict(), indent=2) + "\n").encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Thresholds:
        """Reads what `save` wrote.

        Raises:
            EvaluationError: It cannot be read, or holds no thresholds.
        """
        cure = "make it again with `instruct-imagen calibrate`"
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            if data["version"] != VERSION:
                raise ValueError(f"its version is {data['version']}, not {VERSION}")
            levels = {kind: Level(**one) for kind, one in data["levels"].items()}
            for kind, one in levels.items():
                if not one.partly <= one.full:
                    raise ValueError(f"of {kind}, {one.partly} is above {one.full}")
            return cls(models=data["models"], levels=levels)
        except OSError as error:
            raise EvaluationError(
                f"thresholds={path} cannot be read ({error.strerror or error}): {cure}"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise EvaluationError(f"thresholds={path} holds none ({error!r}): {cure}") from error

    def check(self, models: Mapping[str, Mapping[str, str]]) -> None:
        """Whether they hold for these models.

        Raises:
            EvaluationError: Weights, config, processor or tokenizer are others.
        """
        for name in sorted({*self.models, *models}):
            own, other = self.models.get(name), models.get(name)
            if own is None or other is None or own["weights"] != other["weights"]:
                raise EvaluationError(
                    f"these thresholds are of {name}={own['name'] if own else 'none'}, not of "
                    f"{name}={other['name'] if other else 'none'} as it is here: use that model, "
                    "or calibrate again"
                )
