"""`vlm`: SC and PQ by a vision-language model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from instruct_imagen.evaluation.case import Case, EvaluationError
from instruct_imagen.evaluation.judges import vlm_prompts as prompts
from instruct_imagen.evaluation.judges.base import Score, Verdict
from instruct_imagen.evaluation.judges.vlm_client import (
    ChatClient,
    EndpointFailed,
    RequestFailed,
)
from instruct_imagen.evaluation.judges.vlm_endpoint import Endpoint, Usage
from instruct_imagen.images import load_image

VERSION = 1
"""Raised when the same answers would be scored otherwise."""

NAMED = 10
"""Failed cases that an error names; of more, it tells how many."""

DETAILS = ("", "auto", "low", "high")

Ratings = Mapping[str, prompts.Rating]


class VlmJudge:
    """Asks a vision-language model, once for all conditions of a case and once for quality.

    A score comes from an answer or there is none: where a model refuses, or answers twice what
    cannot be read, the run ends with an error that lists the cases. What was answered before is in
    the cache, so that a repeated run asks only the rest. `usage` counts all along; it is printed
    when the judge is done with.

    Args:
        url: Base of the endpoint, ``https://…/v1``, or its whole address.
        model: As the endpoint names it.
        key_env: Environment variable that holds the key; empty for endpoints without.
        cache: Folder of answers; empty for none.
        retries: Of a request, after errors that may pass (429, 5xx, no answer).
        timeout: Seconds without a word of the server.
        pause: Seconds before the first retry, about; doubled each time.
        parallel: Requests at once.
        detail: ``auto``, ``low`` or ``high``, as the protocol has it; empty to leave it out.
        side: Larger pictures are sent with this longest side, in pixels.
        temperature: Empty to leave it out: some models take none.
        max_tokens: Of an answer; empty to leave it out.
        price_in: Of a million prompt tokens; empty if unknown.
        price_out: Of a million completion tokens; empty if unknown.

    Raises:
        EvaluationError: An option is wrong.
    """

    name: ClassVar[str] = "vlm"
    about: ClassVar[str] = (
        "any condition, real images or the world, by a vision-language model; needs an "
        "OpenAI-compatible endpoint (url, model, key_env)"
    )

    def __init__(
        self,
        *,
        url: str,
        model: str,
        key_env: str = "",
        cache: str = "",
        retries: str = "4",
        timeout: str = "120",
        pause: str = "1",
        parallel: str = "4",
        detail: str = "auto",
        side: str = "1024",
        temperature: str = "0",
        max_tokens: str = "1500",
        price_in: str = "",
        price_out: str = "",
    ) -> None:
        if not model:
            raise EvaluationError("vlm: model is empty: name one that the endpoint serves")
        if detail not in DETAILS:
            raise EvaluationError(f"vlm: detail={detail} must be auto, low or high, or empty")
        endpoint = Endpoint(
            url=url,
            key=_key(key_env),
            retries=_whole("retries", retries, least=0),
            timeout=_number("timeout", timeout, least=0.001),
            pause=_number("pause", pause),
        )
        self.model, self.detail = model, detail
        self.side = _whole("side", side)
        self.parallel = _whole("parallel", parallel)
        self.usage = Usage(
            price_in=_number("price_in", price_in) if price_in else None,
            price_out=_number("price_out", price_out) if price_out else None,
        )
        self._settings: dict[str, Any] = {"model": model}
        if temperature:
            self._settings["temperature"] = _number("temperature", temperature)
        if max_tokens:
            self._settings["max_tokens"] = _whole("max_tokens", max_tokens)
        folder = Path(cache) if cache else None
        self._failed: set[str] = set()
        self._client = ChatClient(endpoint, cache=folder, usage=self.usage)
        weakref.finalize(self, _tell, self.usage)  # at the end of the process at the latest

    @property
    def fingerprint(self) -> str:
        """See `base.Judge`; of the endpoint, model, settings, prompts and cuts."""
        words = [prompts.CONSISTENCY_TASK, prompts.QUALITY_TASK, dict(prompts.MEANINGS)]
        cuts = [prompts.SCALE, prompts.PARTLY, prompts.FULL]
        address = self._client.endpoint.address
        found = [self.name, VERSION, address, self._settings, self.detail, self.side, words, cuts]
        return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()

    def judge(self, cases: Sequence[Case], images: Sequence[np.ndarray]) -> list[Verdict]:
        """See `base.Judge`.

        Once the endpoint has shown that it gives no answers, this judge asks it nothing more.
        """
        pairs = [(case, load_image(one)) for case, one in zip(cases, images, strict=True)]
        pool = ThreadPoolExecutor(max_workers=self.parallel)
        try:
            asked = [
                (pool.submit(self._consistency, *pair), pool.submit(self._quality, pair[1]))
                for pair in pairs
            ]
            return self._gathered(cases, asked)
        except KeyboardInterrupt:
            self._client.end("it was interrupted")
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _gathered(
        self, cases: Sequence[Case], asked: Sequence[tuple[Future[Ratings], Future[Ratings]]]
    ) -> list[Verdict]:
        """The verdicts, in the order of the cases.

        Raises:
            EvaluationError: Some cases have none.
        """
        found, told, failed = [], set(), {}
        for case, futures in zip(cases, asked, strict=True):
            try:
                found.append(verdict(case, *(future.result() for future in futures)))
                told.add(case.id)
            except RequestFailed as error:
                failed[case.id] = str(error)
            except EndpointFailed:
                pass  # why is in the client's `ended`, below
        self._failed |= {case.id for case in cases} - told
        self._failed -= told  # a runner asks again, one by one, what failed together
        self.usage.failures = len(self._failed)
        if len(found) == len(cases):
            return found
        shown, ended = self._client.endpoint.shown, self._client.ended
        if not failed:
            raise EvaluationError(f"vlm: {shown} gives no answers: {ended}")
        first = next(iter(failed.values()))
        names = ", ".join(list(failed)[:NAMED])
        more = f" and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
        stopped = f"; the rest was not asked: {ended}" if ended else ""
        raise EvaluationError(
            f"vlm: {len(failed)} of {len(cases)} images have no verdict ({names}{more}); the "
            f"first: {first}{stopped}; run again, with cache=FOLDER only these are asked, or take "
            "another model"
        )

    def _consistency(self, case: Case, image: Image.Image) -> Ratings:
        messages = prompts.consistency_messages(case, image, detail=self.detail, side=self.side)
        return self._asked(messages, [one.name for one in case.conditions])

    def _quality(self, image: Image.Image) -> Ratings:
        messages = prompts.quality_messages(image, detail=self.detail, side=self.side)
        return self._asked(messages, [prompts.QUALITY])

    def _asked(self, messages: list[prompts.Message], names: list[str]) -> Ratings:
        body = {**self._settings, "messages": messages}
        return self._client.ask(body, names, lambda answer: prompts.ratings(answer, names))


def verdict(case: Case, consistency: Ratings, quality: Ratings) -> Verdict:
    """Ratings from 0 to 10 → a verdict; the ratings stay in its measures."""
    pq = quality[prompts.QUALITY]
    return Verdict(
        scores=tuple(
            Score(
                condition=name,
                value=rating.value,
                reason=rating.reason,
                measures={"rating": rating.score},
            )
            for name, rating in ((one.name, consistency[one.name]) for one in case.conditions)
        ),
        pq=pq.value,
        pq_reason=pq.reason,
        measures={"quality_rating": pq.score},
    )


def _tell(usage: Usage) -> None:
    """Prints the bill of a judge that is done, if it did anything."""
    if usage.requests or usage.cache_hits:
        print(f"vlm: {usage}", file=sys.stderr)


def _key(variable: str) -> str:
    """The key that an environment variable holds; empty for no variable."""
    if not variable:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        # what was given may be the key itself: it is not repeated
        raise EvaluationError(
            "vlm: key_env is not the name of an environment variable that is set: put the key into "
            "one, e.g. VLM_KEY, and write key_env=VLM_KEY"
        )
    return key


def _number(name: str, text: str, least: float = 0.0) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not least <= value < float("inf"):
        raise EvaluationError(f"vlm: {name}={text} must be a number of at least {least:g}")
    return value


def _whole(name: str, text: str, least: int = 1) -> int:
    if not text.isdecimal() or int(text) < least:
        raise EvaluationError(f"vlm: {name}={text} must be a whole number of at least {least}")
    return int(text)


JUDGE = VlmJudge
