"""Quality against settings of the sampling: a model in several settings on the same cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.peers.registry import pipeline_options

SWEPT = ("steps", "guidance", "guidance_kind", "precision")


def axes(given: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What ``steps=5,10 guidance=1,3`` asks for.

    Raises:
        EvaluationError: It is not of that form, or cannot be swept.
    """
    found: dict[str, tuple[str, ...]] = {}
    known = [name for name in SWEPT if name in pipeline_options()]
    for setting in given:
        name, equals, values = setting.partition("=")
        listed = tuple(dict.fromkeys(value for value in values.split(",") if value))
        if not equals or name not in known or not listed:
            raise EvaluationError(
                f"--sweep '{setting}': write e.g. steps=5,10,20 with one of {', '.join(known)}"
            )
        found[name] = listed
    return found


def settings_of(swept: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """Every combination."""
    for values in product(*swept.values()):
        yield dict(zip(swept, values, strict=True))


def with_settings(spec: str, settings: Mapping[str, str]) -> str:
    """A full pipeline spec with other settings (see `peers.registry.peer_spec`)."""
    name, _, rest = spec.partition(":")
    options = dict(setting.partition("=")[::2] for setting in rest.split(",")) | dict(settings)
    return f"{name}:" + ",".join(f"{key}={value}" for key, value in options.items())
