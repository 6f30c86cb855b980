"""Finds the annotators: each module of this folder that defines ``ANNOTATOR`` brings one.

A new annotator is one new file, named as its annotator (and one test); nothing is edited here.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import pkgutil
from typing import Any

from instruct_imagen.data import annotators as package
from instruct_imagen.data.annotators.base import Annotator, AnnotatorError


def annotator_names() -> tuple[str, ...]:
    """Names of all annotators, sorted."""
    names = [info.name for info in pkgutil.iter_modules(package.__path__)]
    return tuple(sorted(name for name in names if hasattr(_module(name), "ANNOTATOR")))


def annotator_class(name: str) -> type[Annotator]:
    """The class of an annotator; only its own module is imported.

    Raises:
        AnnotatorError: There is none of that name.
    """
    known = name.isidentifier() and importlib.util.find_spec(f"{package.__name__}.{name}")
    found = getattr(_module(name), "ANNOTATOR", None) if known else None
    if found is None:
        raise AnnotatorError(f"unknown annotator '{name}': use one of {_listed()}")
    return found


def annotator(name: str, /, **settings: Any) -> Annotator:
    """An annotator, ready to be called.

    Args:
        name: E.g. ``"edge"``.
        **settings: Fields of its class, e.g. ``model="my/depth-model"``.

    Raises:
        AnnotatorError: An unknown name or setting, or a value that does not fit.
    """
    found = annotator_class(name)
    known = [field.name for field in dataclasses.fields(found)]  # type: ignore[arg-type]
    for key in settings:
        if key not in known:
            raise AnnotatorError(f"{name} has no setting '{key}': use one of {', '.join(known)}")
    return found(**settings)


def _module(name: str) -> Any:
    return importlib.import_module(f"{package.__name__}.{name}")


def _listed() -> str:
    return ", ".join(annotator_names())
