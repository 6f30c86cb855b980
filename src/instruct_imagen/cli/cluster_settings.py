"""Settings of `instruct-imagen clusters build`, as a user writes them."""

from __future__ import annotations

import dataclasses
import difflib
import json
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instruct_imagen.cli.errors import UsageError

if TYPE_CHECKING:
    from instruct_imagen.data.clusters.settings import ClusterSettings


def settings_from(given: Sequence[str], domains: Path | None) -> ClusterSettings:
    """Settings from ``key=value`` texts, such as ``filters.min_side=256``.

    Raises:
        UsageError: An unknown key, or a file that is no list of domains.
        ClusterError: A value out of range.
    """
    from instruct_imagen.data.clusters.settings import ClusterSettings

    settings = ClusterSettings()
    if domains is not None:
        sorting = dataclasses.replace(settings.domains, domains=_domains(domains))
        settings = dataclasses.replace(settings, domains=sorting)
    for setting in given:
        key, sign, text = setting.partition("=")
        if not sign:
            raise UsageError(f"'{setting}' is no setting: write key=value, e.g. least=0.6")
        settings = _with(settings, key, text, key)
    return settings


def known_settings(kind: Any = None, prefix: str = "") -> dict[str, Any]:
    """Key → type of every setting; those of a part have its name before a point."""
    from instruct_imagen.data.clusters.settings import ClusterSettings

    found = {}
    for name, hint in typing.get_type_hints(kind or ClusterSettings).items():
        if dataclasses.is_dataclass(hint):
            found |= known_settings(hint, f"{prefix}{name}.")
        elif hint in (int, float, str, bool):
            found[f"{prefix}{name}"] = hint
    return found


def _with(settings: Any, key: str, text: str, whole: str) -> Any:
    from instruct_imagen.recipes.config import parse_value

    known = known_settings()
    if whole not in known:
        near = difflib.get_close_matches(whole, known, n=1)
        meant = f"did you mean {near[0]}? Otherwise " if near else ""
        raise UsageError(f"unknown setting '{whole}': {meant}use one of {', '.join(known)}")
    name, point, rest = key.partition(".")
    if point:
        return dataclasses.replace(
            settings, **{name: _with(getattr(settings, name), rest, text, whole)}
        )
    return dataclasses.replace(settings, **{name: parse_value(whole, text, known[whole])})


def _domains(path: Path) -> tuple[Any, ...]:
    from instruct_imagen.data.clusters.domains import Domain

    try:
        given = json.loads(path.read_bytes())
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}") from error
    if not isinstance(given, Mapping) or not all(
        isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        for texts in given.values()
    ):
        raise UsageError(f'{path} must be like {{"art": ["a painting", "a statue"], …}}')
    return tuple(Domain(name=name, prompts=tuple(texts)) for name, texts in given.items())
