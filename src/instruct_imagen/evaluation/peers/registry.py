"""Finds the peers: each module of this folder that defines ``PEER`` brings one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instruct_imagen.evaluation import peers as package
from instruct_imagen.evaluation.peers.base import Generator
from instruct_imagen.evaluation.plugins import found, made, options_of

PIPELINE = "pipeline"
"""The peer that draws with a saved pipeline of ours: what is no peer's name names one."""


def peer_classes() -> dict[str, type[Any]]:
    """Every peer's class by name."""
    return found(package, "PEER")


def peer_spec(spec: str, defaults: Mapping[str, str] | None = None) -> str:
    """The full form of what a user writes: ``peer:option=value,…``.

    Args:
        spec: A peer with or without options, or a saved pipeline's folder or name, as ``starter``
            or ``out/run/export:steps=50``.
        defaults: Options for a saved pipeline that the spec does not set.
    """
    name, _, rest = spec.partition(":")
    if name in peer_classes() and name != PIPELINE:
        return spec
    if name != PIPELINE:
        # A folder may have a colon in its name: options are what has an equals sign behind one.
        name, colon, rest = spec.rpartition(":")
        if not colon or "=" not in rest:
            name, rest = spec, ""
        rest = f"model={name},{rest}"
    given = dict(setting.partition("=")[::2] for setting in rest.split(",") if setting)
    options = {**(defaults or {}), **given}
    ordered = {"model": options.pop("model", ""), **dict(sorted(options.items()))}
    return f"{PIPELINE}:" + ",".join(f"{key}={value}" for key, value in ordered.items())


def open_model(spec: str) -> Generator:
    """What a spec names; see `peer_spec`.

    Raises:
        EvaluationError: There is no such peer or option.
        ModelError: There is no such saved pipeline.
    """
    return made("peer", peer_classes(), peer_spec(spec))


def pipeline_options() -> tuple[str, ...]:
    """What can be set of a saved pipeline."""
    return options_of(peer_classes()[PIPELINE])
