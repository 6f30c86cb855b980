"""Corpora: data sets that a user downloads, in their published layouts, as streams of records."""

from __future__ import annotations

from instruct_imagen.data.corpora.base import About, Corpus, CorpusError, Reading, Stream
from instruct_imagen.data.corpora.registry import all_corpora, open_corpus

__all__ = ["About", "Corpus", "CorpusError", "Reading", "Stream", "all_corpora", "open_corpus"]
