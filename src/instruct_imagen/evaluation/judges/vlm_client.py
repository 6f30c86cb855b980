"""Asks an OpenAI-compatible chat endpoint: retries, one repair, a cache on disk, a bill."""

from __future__ import annotations

import email.utils
import hashlib
import http.client
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.judges.vlm_endpoint import Endpoint, Usage
from instruct_imagen.evaluation.judges.vlm_prompts import AnswerError, repair_words
from instruct_imagen.reference_image import write_whole

T = TypeVar("T")

TRANSIENT = (408, 409, 425, 429)
"""Answers, besides 5xx, after which the same request may succeed."""

HOPELESS = (401, 403, 404, 405)
"""Answers that every other request would get, too."""

LONGEST_PAUSE = 60.0
"""Seconds; waiting doubles up to here."""

LONGEST_ORDER = 600.0
"""Seconds; a server that asks for a longer pause is not waited for."""

LARGEST_ANSWER = 8_000_000
"""Bytes."""

GIVE_UP = 8
"""So many questions in a row that the server does not answer end the run."""

REFUSALS = ("content_filter", "content_policy_violation")
"""Codes of HTTP 400 by which servers refuse what a picture or text shows."""


class RequestFailed(Exception):
    """A question has no answer that can be used; others may have one.

    Attributes:
        answered: The server did answer.
    """

    def __init__(self, cause: str, *, answered: bool) -> None:
        super().__init__(cause)
        self.answered = answered


class EndpointFailed(Exception):
    """No request would have an answer."""


class _Transient(Exception):
    """Try again.

    Attributes:
        after: Seconds that the server asks to wait.
        unreachable: Nobody answers at all.
    """

    def __init__(self, cause: str, *, after: float = 0.0, unreachable: bool = False) -> None:
        super().__init__(cause)
        self.after = after
        self.unreachable = unreachable


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Redirects would carry the key to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


class ChatClient:
    """Answers of a chat endpoint, each accepted one kept by the hash of all that was sent.

    Args:
        endpoint: Where and how is asked.
        cache: Folder of accepted answers; None for none on disk.
        usage: Is counted up.

    Raises:
        EvaluationError: The cache is no folder.
    """

    def __init__(self, endpoint: Endpoint, *, cache: Path | None, usage: Usage) -> None:
        self.endpoint, self.usage = endpoint, usage
        self._cache = cache
        if cache is not None:
            try:
                cache.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise EvaluationError(
                    f"vlm: cache={cache} cannot be made ({error.strerror}): name a folder"
                ) from error
        host = (urlsplit(endpoint.address).hostname or "").strip("[]")
        own = host == "localhost" or host == "::1" or host.startswith("127.")
        direct = [urllib.request.ProxyHandler({})] if own else []
        self._opener = urllib.request.build_opener(_NoRedirects(), *direct)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        self._asking: dict[str, threading.Lock] = {}
        self._failed_in_a_row = 0
        self.ended = ""
        """Why nothing more is sent, ever; empty while it is."""

    def end(self, cause: str) -> None:
        """Nothing more is sent, and whoever waits is woken; what is known is still told.

        A run of thousands of cases must not wait for each of them in vain.
        """
        with self._lock:
            self.ended = self.ended or cause
            self._stop.set()

    def ask(self, body: dict[str, Any], names: Sequence[str], read: Callable[[str], T]) -> T:
        """What an answer says.

        Args:
            body: Of the request, with ``model`` and ``messages``.
            names: Of what is asked for, for the repair.
            read: An answer -> what it says; raises an `AnswerError` if that cannot be read.

        Raises:
            RequestFailed: There is no answer that can be read.
            EndpointFailed: There can be none, or the run was stopped.
        """
        key = self.key(body)
        with self._lock:
            own = self._asking.setdefault(key, threading.Lock())
        with own:  # the same question of two cases is asked once
            known = self._read(key)
            if known is not None:
                try:
                    found = read(known)
                    self.usage.add(cache_hits=1)
                    return found
                except AnswerError:
                    pass  # not ours, or damaged: it is asked again and replaced
            try:
                answer, found = self._asked(body, names, read)
            except RequestFailed as error:
                self._count_failure(error)
                raise
            except EndpointFailed as error:
                self.end(str(error))
                raise
            self._failed_in_a_row = 0
            self._write(key, body, answer)
            return found

    def key(self, body: dict[str, Any]) -> str:
        """Hash of all that is sent but the key, and where to."""
        sent = json.dumps([self.endpoint.address, body], sort_keys=True)
        return hashlib.sha256(sent.encode()).hexdigest()

    def _asked(
        self, body: dict[str, Any], names: Sequence[str], read: Callable[[str], T]
    ) -> tuple[str, T]:
        """An answer that can be read, at the second try at the latest."""
        answer = self._complete(body)
        try:
            return answer, read(answer)
        except AnswerError as error:
            self.usage.add(repairs=1)
            again = [
                {"role": "assistant", "content": answer or "(nothing)"},
                {"role": "user", "content": repair_words(str(error), names)},
            ]
            answer = self._complete({**body, "messages": [*body["messages"], *again]})
        try:
            return answer, read(answer)
        except AnswerError as error:
            said = " ".join(answer.split())[:80]
            raise RequestFailed(f"{error}; it said “{said}”", answered=True) from None

    def _complete(self, body: dict[str, Any]) -> str:
        """The words of an answer, after as many tries as are allowed."""
        data = json.dumps(body).encode()
        for attempt in range(self.endpoint.retries + 1):
            if self._stop.is_set():
                raise EndpointFailed(self.ended)
            self.usage.add(requests=1, retries=int(attempt > 0))
            try:
                return self._words(self._sent(data))
            except _Transient as error:
                last = error
            if attempt < self.endpoint.retries:
                self._wait(attempt, last)
        tries = self.endpoint.retries + 1
        cause = f"{last} ({tries} {'try' if tries == 1 else 'tries'})"
        if last.unreachable:
            raise EndpointFailed(cause)
        raise RequestFailed(cause, answered=False)

    def _wait(self, attempt: int, error: _Transient) -> None:
        """Until the next try: as the server asks, or longer and longer, never all at once."""
        if error.after > LONGEST_ORDER:
            raise EndpointFailed(f"{error}, and asks to wait {error.after:.0f} s")
        pause = min(LONGEST_PAUSE, self.endpoint.pause * 2**attempt) * random.uniform(0.5, 1)
        self._stop.wait(max(error.after * random.uniform(1, 1.1), pause))

    def _sent(self, data: bytes) -> bytes:
        """The body of the server's answer to a request."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        request = urllib.request.Request(self.endpoint.address, data=data, headers=headers)
        if self.endpoint.key:  # unredirected: no other host is ever given it
            request.add_unredirected_header("Authorization", f"Bearer {self.endpoint.key}")
        try:
            with self._opener.open(request, timeout=self.endpoint.timeout) as response:
                return response.read(LARGEST_ANSWER)
        except urllib.error.HTTPError as error:
            raise self._refused(error) from None
        except TimeoutError:
            raise _Transient(f"no answer in {self.endpoint.timeout:g} s") from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise _Transient(f"no answer in {self.endpoint.timeout:g} s") from None
            raise _Transient(self._line(error.reason), unreachable=True) from None
        except (OSError, http.client.HTTPException) as error:
            raise _Transient(f"the line broke ({self._line(error)})") from None

    def _refused(self, error: urllib.error.HTTPError) -> Exception:
        """What an answer other than 200 means."""
        with error:
            try:
                text = error.read(LARGEST_ANSWER).decode("utf-8", "replace")
            except (OSError, http.client.HTTPException):
                text = ""
        code, message = _error(text)
        cause = f"HTTP {error.code}: {self._line(message or error.reason)}"
        if error.code in TRANSIENT or error.code >= 500:
            return _Transient(cause, after=seconds(error.headers.get("Retry-After", "")))
        if error.code in HOPELESS or error.code < 400:
            return EndpointFailed(cause)
        return RequestFailed(cause, answered=code in REFUSALS)

    def _words(self, data: bytes) -> str:
        """The answer's words; counts its tokens."""
        try:
            found = json.loads(self.endpoint.hidden(data.decode("utf-8")))
            choice = found["choices"][0]
            message = choice["message"]
            content = message.get("content") or ""
            if isinstance(content, list):
                content = "".join(part.get("text") or "" for part in content)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            # cut off on its way, or a proxy's page: the next try may be whole
            raise _Transient("the server's answer is no chat completion") from None
        usage = found.get("usage")
        counts = [_count(usage, name) for name in ("prompt_tokens", "completion_tokens")]
        if None in counts:
            self.usage.add(uncounted=1)
        else:
            self.usage.add(prompt_tokens=counts[0], completion_tokens=counts[1])
        if message.get("refusal") or choice.get("finish_reason") == "content_filter":
            said = self._line(message.get("refusal") or content)
            raise RequestFailed(f"the model refused: {said}", answered=True)
        return str(content)

    def _line(self, cause: object) -> str:
        """One short line in which the key cannot be seen."""
        return " ".join(self.endpoint.hidden(str(cause)).split())[:200]

    def _count_failure(self, error: RequestFailed) -> None:
        with self._lock:
            self._failed_in_a_row = 0 if error.answered else self._failed_in_a_row + 1
            many = self._failed_in_a_row >= GIVE_UP
        if many:
            self.end(f"{GIVE_UP} questions in a row were not answered ({error})")

    def _path(self, key: str) -> Path | None:
        return self._cache / key[:2] / f"{key}.json" if self._cache is not None else None

    def _read(self, key: str) -> str | None:
        """A kept answer; None if there is none that can be read."""
        if key in self._known:
            return self._known[key]
        path = self._path(key)
        if path is None or not path.exists():
            return None
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            return str(kept["answer"]) if kept["key"] == key else None
        except (ValueError, KeyError, TypeError):
            return None  # damaged: as if it were not there, and replaced

    def _write(self, key: str, body: dict[str, Any], answer: str) -> None:
        """Keeps an answer, whole or not at all."""
        self._known[key] = answer
        path = self._path(key)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = {"key": key, "model": body["model"], "answer": answer}
            write_whole(path, (json.dumps(kept, ensure_ascii=False) + "\n").encode())


def seconds(header: str) -> float:
    """What a ``Retry-After`` asks for: seconds or a date; 0 if it says neither."""
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _error(text: str) -> tuple[str, str]:
    """Code and message of an error's body; no code and the body itself if it has another form."""
    try:
        error = json.loads(text)["error"]
        if isinstance(error, dict):
            return str(error.get("code")), str(error["message"])
        return "", str(error)
    except (ValueError, KeyError, TypeError, RecursionError):
        return "", text


def _count(usage: Any, name: str) -> int | None:
    found = usage.get(name) if isinstance(usage, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None
