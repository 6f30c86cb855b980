"""Subject-driven generation of a user's own subject: their photographs in place of scenes.

Not among `all_tasks()`: it is made with a folder of photographs, which only some trainings have.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from instruct_imagen.data.example import Example, ExampleReference, Photograph
from instruct_imagen.data.tasks.base import load_templates, pick
from instruct_imagen.data.tasks.subject import ARTICLES, Subject, word_subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from instruct_imagen.data.world.vocabulary import Vocabulary

REFERENCES = 3
"""Other photographs that an example shows, at most."""


class MySubject:
    """One photograph is drawn, one to three others are its references and share marker 1.

    The wordings are those of `Subject`; a caption that does not name the subject gets only those
    that name it besides.

    Args:
        subject: What all photographs show, e.g. ``"clay dog"``.
        captions: One a photograph, at least two.
    """

    name = "my_subject"
    forms = Subject.forms

    def __init__(self, subject: str, captions: Sequence[str]) -> None:
        self.subject = subject
        self.captions = tuple(captions)
        every = load_templates(Subject.name, *Subject.forms)
        beside = tuple(template for template in every if "{subject}" in template)
        self._templates = [
            every if names_subject(words, subject) else beside for words in self.captions
        ]

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """Draws one example; `vocabulary` is not used."""
        target, *others = (int(index) for index in rng.permutation(len(self.captions)))
        count = 1 + int(rng.random() * min(REFERENCES, len(others)))
        template = pick(rng, self._templates[target])
        return Example(
            task=self.name,
            text=word_subject(template, self.subject, self.captions[target]),
            caption=self.captions[target],
            references=tuple(
                ExampleReference(
                    marker=1, text=self.subject, role="subject", picture=Photograph(index=index)
                )
                for index in others[:count]
            ),
            target=Photograph(index=target),
        )


def names_subject(words: str, subject: str) -> bool:
    """Whether `mark_subject` can mark it: with its article, or first ("a brown dog" gives none)."""
    article = "|".join(article for article in ARTICLES if article)
    return bool(re.search(rf"(^|\b({article})){re.escape(subject)}($|[ ,.;:])", words))
