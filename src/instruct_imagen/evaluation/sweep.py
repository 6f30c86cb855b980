"""Quality against settings of the sampling: a model in several settings on the same cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.peers.registry import PIPELINE, pipeline_options

SWEPT = (
    "steps", "guidance", "guidance_kind", "precision", "upscaler_steps", "threshold", "seam",
    "compositing",
)  # fmt: skip


def axes(given: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What ``steps=5,10 guidance=1,3`` asks for.

    Raises:
        EvaluationError: It is not of that form, cannot be swept, or is named twice.
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
        if name in found:
            raise EvaluationError(
                f"--sweep names {name} twice: write all of its values together, e.g. "
                f"{name}={','.join((*found[name], *listed))}"
            )
        found[name] = listed
    return found


def settings_of(swept: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """Every combination."""
    for values in product(*swept.values()):
        yield dict(zip(swept, values, strict=True))


def with_settings(spec: str, settings: Mapping[str, str]) -> str:
    """A full pipeline spec with other settings (see `peers.registry.peer_spec`).

    Raises:
        EvaluationError: It is of another peer, which has no such settings.
    """
    name, _, rest = spec.partition(":")
    if name != PIPELINE:
        raise EvaluationError(
            f"--sweep changes settings of saved pipelines, and {name} is none: leave it out"
        )
    options = dict(setting.partition("=")[::2] for setting in rest.split(",")) | dict(settings)
    return f"{name}:" + ",".join(f"{key}={value}" for key, value in options.items())


def as_drawn(spec: str) -> str:
    """A full spec of what draws edits without compositing: a saved pipeline, or what it is.

    What references do to a drawing would else be measured on the pixels of the source.
    """
    name, _, rest = spec.partition(":")
    if name != PIPELINE:
        return spec
    kept = [one for one in rest.split(",") if one.partition("=")[0] not in ("threshold", "seam")]
    return with_settings(f"{name}:{','.join(kept)}", {"compositing": "off"})
