"""What the page asks of the server: the next image of a rater, an earlier one, a click.

Answers are plain objects that hold all that the page shows and no name of a case or a method;
images are in them as pixels encoded anew, without any metadata of their files. The desk keeps
nothing between two calls but what it could make again: the page works on after a restart.
"""

from __future__ import annotations

import base64
import io
import sys
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.rating.assignment import (
    Plan,
    finished,
    next_case,
    shuffled,
    token,
)
from instruct_imagen.evaluation.rating.guideline import questions
from instruct_imagen.evaluation.rating.items import RatingItem, pixels_id
from instruct_imagen.evaluation.rating.storage import Rating, Store, rater_name
from instruct_imagen.images import ImageError, load_image
from instruct_imagen.instruction import markers_in

Answer = dict[str, Any]


class RatingDesk:
    """Gives out images and takes clicks.

    Args:
        items: All images.
        store: Of the ratings.
        plan: How the work is shared.
    """

    def __init__(self, items: Sequence[RatingItem], store: Store, plan: Plan) -> None:
        self.store, self.plan = store, plan
        self._items = {(item.case.id, item.method): item for item in items}
        self._methods: dict[str, list[str]] = {}
        for item in items:
            self._methods.setdefault(item.case.id, []).append(item.method)
        self._picture = lru_cache(maxsize=256)(_picture)
        self._ordered = lru_cache(maxsize=64)(self._in_order)

    def ask(self, question: Mapping[str, Any]) -> Answer:
        """Answers the page; a wrong question is answered with ``error``, one line.

        Args:
            question: ``rater``, and one of: nothing more for the first image that is not rated;
                ``show``, the token of an image; ``rate`` with ``sc``, ``pq`` and ``click`` to store
                a rating of the image of that token and go to the one after it. ``more`` goes on
                after the rater's share.
        """
        try:
            rater = rater_name(str(question.get("rater", "")))
            if "rate" in question:
                return self._rate(rater, question)
            return self._answer(rater, question, str(question.get("show", "")))
        except EvaluationError as error:
            return {"error": str(error)}
        except ImageError as error:
            print(f"rating page: {error}", file=sys.stderr, flush=True)
            # A path would say whose image it is.
            return {"error": "an image cannot be read: tell whoever runs this page"}

    def queue(self, rater: str) -> list[RatingItem]:
        """The images that a rater was given so far, in their order."""
        return self._tokens(rater)[0]

    def _rate(self, rater: str, question: Mapping[str, Any]) -> Answer:
        queue, tokens = self._tokens(rater)
        place = _place(tokens, str(question["rate"]))
        item = queue[place]
        scores = [question.get(name) for name in ("sc", "pq")]
        click = question.get("click")
        if not all(type(score) in (int, float) for score in scores) or not click:
            raise EvaluationError("a rating needs sc, pq and click: reload the page")
        rating = Rating(
            case=item.case.id,
            method=item.method,
            rater=rater,
            sc=float(scores[0]),
            pq=float(scores[1]),
            image=self._picture(item)[0],
            at=time.time(),
        )
        self.store.add(rating, str(click))
        after = tokens[place + 1] if place + 1 < len(tokens) else ""
        return self._answer(rater, question, after)

    def _answer(self, rater: str, question: Mapping[str, Any], shown: str) -> Answer:
        """The image of a token; without one the first that is not rated, or the end."""
        queue, tokens = self._tokens(rater)
        ratings = {(r.case, r.method): r for r in self.store.ratings(rater)}
        if shown:
            return self._item(rater, queue, tokens, _place(tokens, shown), ratings)
        for place, item in enumerate(queue):
            if (item.case.id, item.method) not in ratings:
                return self._item(rater, queue, tokens, place, ratings)
        if not self._give(rater, bool(question.get("more"))):
            return self._end(rater, tokens)
        return self._answer(rater, question, "")

    def _give(self, rater: str, more: bool) -> bool:
        """Gives a rater a further case, where one needs them and their share is not done."""
        with self.store.assigning() as assigning:
            assignments, ratings = assigning.assignments(), assigning.ratings()
            own = [one for one in assignments if one.rater == rater and one.case in self._methods]
            if len(own) >= self.plan.share(len(self._methods)) and not more:
                return False
            case = next_case(
                rater,
                self._methods,
                assignments,
                ratings,
                self.plan,
                secret=self.store.secret,
                now=time.time(),
            )
            if case is None:
                return False
            assigning.assign(rater, case)
            return True

    def _end(self, rater: str, tokens: list[str]) -> Answer:
        done = finished(self._methods, self.store.ratings())
        short = [case for case, raters in done.items() if len(raters) < self.plan.raters]
        return {
            "rater": rater,
            "end": True,
            "short": len(short),
            "more": any(rater not in done[case] for case in short),
            "back": tokens[-1] if tokens else "",
            "done": len(tokens),
        }

    def _tokens(self, rater: str) -> tuple[list[RatingItem], list[str]]:
        """A rater's queue, and what the page knows its images by."""
        return self._ordered(rater, tuple(one.case for one in self.store.assignments(rater)))

    def _in_order(self, rater: str, cases: tuple[str, ...]) -> tuple[list[RatingItem], list[str]]:
        secret = self.store.secret
        queue = [
            self._items[case, method]
            for case in cases
            if case in self._methods
            for method in shuffled(self._methods[case], secret, rater, case)
        ]
        return queue, [token(secret, rater, item.case.id, item.method) for item in queue]

    def _item(
        self,
        rater: str,
        queue: list[RatingItem],
        tokens: list[str],
        place: int,
        ratings: Mapping[tuple[str, str], Rating],
    ) -> Answer:
        item = queue[place]
        methods = self._methods[item.case.id]
        beside = [other.method for other in queue if other.case.id == item.case.id]
        rated = ratings.get((item.case.id, item.method))
        share = self.plan.share(len(self._methods))
        cases = max(share, len({one.case.id for one in queue}))
        return {
            "rater": rater,
            "token": tokens[place],
            "back": tokens[place - 1] if place else "",
            "next": tokens[place + 1] if place + 1 < len(tokens) else "",
            "sc": rated.sc if rated else None,
            "pq": rated.pq if rated else None,
            "image": self._picture(item)[1],
            "number": beside.index(item.method) + 1,
            "of": len(methods),
            "done": sum((one.case.id, one.method) in ratings for one in queue),
            "all": cases * len(methods),
            "text": item.case.instruction.text,
            "markers": list(markers_in(item.case.instruction.text)),
            "questions": questions(item.case),
            "references": [
                {"marker": one.marker, "text": one.text, "image": _encoded(_pixels(one.image))}
                for one in item.case.instruction.references
            ],
        }


def _place(tokens: list[str], wanted: str) -> int:
    if wanted not in tokens:
        raise EvaluationError("this image is not among yours any more: reload the page")
    return tokens.index(wanted)


def _picture(item: RatingItem) -> tuple[str, str]:
    """An image's `pixels_id`, and itself for the page."""
    pixels = _pixels(item.path)
    return pixels_id(pixels), _encoded(pixels)


def _pixels(source: Any) -> np.ndarray:
    return np.asarray(load_image(source))


def _encoded(pixels: np.ndarray) -> str:
    """Pixels as a data address of a PNG: they alone, without what a file says of its origin."""
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, format="PNG")
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode()
