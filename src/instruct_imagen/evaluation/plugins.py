"""Judges and peers by name: found in their folder, made from one text with their options."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from instruct_imagen.evaluation.case import EvaluationError


def found(package: ModuleType, constant: str) -> dict[str, type[Any]]:
    """The classes that modules of a package define as `constant`, by their ``name``.

    Raises:
        ValueError: Two have the same name.
    """
    classes: dict[str, type[Any]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        one = getattr(module, constant, None)
        if one is None:
            continue
        if one.name in classes:
            raise ValueError(
                f"{one.name!r} is defined in {classes[one.name].__module__} and in "
                f"{one.__module__}: rename one"
            )
        classes[one.name] = one
    return dict(sorted(classes.items()))


def options_of(one: type[Any]) -> tuple[str, ...]:
    """Names of the options of a class: its keyword-only arguments."""
    return tuple(
        name
        for name, parameter in inspect.signature(one).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    )


def made(what: str, classes: Mapping[str, type[Any]], spec: str) -> Any:
    """An object of ``name`` or ``name:option=value,option=value``; arguments as for `parsed`."""
    one, options = parsed(what, classes, spec)
    return one(**options)


def parsed(
    what: str, classes: Mapping[str, type[Any]], spec: str
) -> tuple[type[Any], dict[str, str]]:
    """The class and the options that a text names; nothing is opened.

    Args:
        what: ``"judge"`` or ``"peer"``, for messages.
        classes: By name.
        spec: What is wanted; options are texts, and have no comma inside.

    Raises:
        EvaluationError: The name or an option is unknown, missing or malformed.
    """
    name, _, rest = spec.partition(":")
    if name not in classes:
        known = ", ".join(classes)
        raise EvaluationError(f"unknown {what} '{name}': use one of {known}")
    one = classes[name]
    options = {}
    for setting in rest.split(",") if rest else ():
        key, equals, value = setting.partition("=")
        if not equals or key not in options_of(one):
            known = ", ".join(options_of(one)) or "none"
            raise EvaluationError(
                f"{what} {name} has no option '{setting}': write {name}:option=value with the "
                f"options {known}"
            )
        options[key] = value
    missing = [
        key
        for key, parameter in inspect.signature(one).parameters.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind is inspect.Parameter.KEYWORD_ONLY
        and key not in options
    ]
    if missing:
        raise EvaluationError(
            f"{what} {name} needs {', '.join(missing)}: write {name}:{missing[0]}=…"
        )
    return one, options
