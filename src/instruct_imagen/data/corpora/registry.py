"""Finds the corpora: each module of this folder that defines ``CORPUS`` brings one.

A new data set is one new file (and one test); nothing is edited here.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from instruct_imagen.data import corpora as package
from instruct_imagen.data.corpora.base import Corpus, CorpusError, Reading


@lru_cache(maxsize=1)
def all_corpora() -> MappingProxyType[str, type[Corpus[Any]]]:
    """Every corpus by name, in the order of the names.

    Returns:
        Read-only mapping from ``Corpus.name`` to its class.

    Raises:
        ValueError: Two modules bring a corpus of the same name.
    """
    found: dict[str, type[Corpus[Any]]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        corpus = getattr(module, "CORPUS", None)
        if corpus is None:
            continue
        if corpus.name in found:
            raise ValueError(
                f"corpus {corpus.name!r} is defined in {found[corpus.name].__module__} and in "
                f"{corpus.__module__}; rename one"
            )
        found[corpus.name] = corpus
    return MappingProxyType(dict(sorted(found.items())))


def options_of(corpus: type[Corpus[Any]]) -> tuple[str, ...]:
    """The names of the options that only this corpus has."""
    return tuple(
        name
        for name, parameter in inspect.signature(corpus).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    )


def open_corpus(
    name: str, folder: str | Path, reading: Reading | None = None, **options: str
) -> Corpus[Any]:
    """Opens a corpus by name.

    Args:
        name: One of `all_corpora`.
        folder: Where it lies.
        reading: How it is read.
        options: Those of `options_of`, as texts.

    Raises:
        CorpusError: The name or an option is unknown, or the folder does not hold this data set.
    """
    found = all_corpora().get(name)
    if found is None:
        raise CorpusError(f"unknown corpus {name!r}: use one of {', '.join(all_corpora())}")
    known = options_of(found)
    for option in options:
        if option not in known:
            raise CorpusError(
                f"{name} has no option {option!r}: "
                + (f"it has {', '.join(known)}" if known else "it has none")
            )
    return found.open(folder, reading, **options)
