"""Finds the makers: each module of this folder that has ``MAKERS`` brings some.

A task of another kind of record is one new class there; nothing is edited here.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache
from typing import Any

from instruct_imagen.data import corpus_tasks as package
from instruct_imagen.data.corpora.base import Corpus
from instruct_imagen.data.corpora.records import Record
from instruct_imagen.data.corpora.registry import all_corpora
from instruct_imagen.data.corpus_tasks.base import CorpusTaskError, Maker


@lru_cache(maxsize=1)
def all_makers() -> tuple[Maker[Any], ...]:
    """One of each, by record and task."""
    found = []
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        found += [kind() for kind in getattr(module, "MAKERS", ())]
    return tuple(sorted(found, key=lambda one: (one.record.__name__, one.task)))


def makers_of(record: type[Record]) -> dict[str, Maker[Any]]:
    """What can be made of a kind of record, by task."""
    return {maker.task: maker for maker in all_makers() if maker.record is record}


def maker_of(corpus: type[Corpus[Any]], task: str) -> Maker[Any]:
    """What makes a task of a corpus.

    Raises:
        CorpusTaskError: Nothing does; names what can be made of it, and what the task is made of.
    """
    known = makers_of(corpus.record)
    if task not in known:
        others = [name for name, other in all_corpora().items() if task in makers_of(other.record)]
        raise CorpusTaskError(
            f"no {task} is made of {corpus.name}, whose records make {', '.join(known)}"
            + (f"; it is made of {', '.join(others)}" if others else "")
        )
    return known[task]
