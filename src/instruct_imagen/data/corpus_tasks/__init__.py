"""Records of published data sets -> examples of the tasks, worded with the world's templates."""

from instruct_imagen.data.corpus_tasks.base import CorpusTaskError
from instruct_imagen.data.corpus_tasks.job import CorpusJob, corpus_job

__all__ = ["CorpusJob", "CorpusTaskError", "corpus_job"]
