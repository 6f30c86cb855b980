"""Where a chat endpoint is, with which key it is asked, and what asking has cost."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit, urlunsplit

from instruct_imagen.evaluation.case import EvaluationError

SHORTEST_SECRET = 8
"""Characters; servers of one's own take any key, and people write ``none``."""


@dataclass
class Usage:
    """What was asked and what it costs; of this process, not of what lay in the cache.

    Attributes:
        requests: Sent, repeated ones included.
        retries: Of these, repeated after an error of the server or the line.
        repairs: Of these, asked again for an answer that can be read.
        cache_hits: Answers that were known already.
        failures: Images that stay without a verdict.
        prompt_tokens: As the server counts them.
        completion_tokens: As the server counts them.
        uncounted: Answers of which the server told no tokens.
        price_in: Of a million prompt tokens; None if unknown.
        price_out: Of a million completion tokens; None if unknown.
    """

    requests: int = 0
    retries: int = 0
    repairs: int = 0
    cache_hits: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted: int = 0
    price_in: float | None = None
    price_out: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, **counts: int) -> None:
        """Adds to the counts, from any thread."""
        with self._lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)

    @property
    def cost(self) -> float | None:
        """In the currency of the prices; None without them."""
        if self.price_in is None or self.price_out is None:
            return None
        spent = self.prompt_tokens * self.price_in + self.completion_tokens * self.price_out
        return spent / 1e6

    def __str__(self) -> str:
        cost = f", cost {self.cost:.4f}" if self.cost is not None else ""
        more = f" ({self.uncounted} answers came without a count)" if self.uncounted else ""
        return (
            f"{self.requests} requests ({self.retries} retries, {self.repairs} repairs), "
            f"{self.cache_hits} answers from the cache, {self.failures} failures, "
            f"{self.prompt_tokens} + {self.completion_tokens} tokens{cost}{more}"
        )


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where and how is asked.

    Attributes:
        url: Base (``https://…/v1``) or whole address (``…/chat/completions``).
        key: Sent as a bearer token; empty for none. It is in no text that this class gives.
        retries: Of a request, after errors that may pass.
        timeout: Seconds without a word of the server.
        pause: Seconds before the first retry, about; doubled each time.

    Raises:
        EvaluationError: The address is none, or the key cannot be sent.
    """

    url: str
    key: str = field(default="", repr=False)
    retries: int = 4
    timeout: float = 120.0
    pause: float = 1.0

    def __post_init__(self) -> None:
        parts = self._parts
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise EvaluationError(
                "vlm: url is no http address: give the base of the endpoint, e.g. "
                "url=http://127.0.0.1:8000/v1"
            )
        if parts.username is not None or parts.password is not None:
            raise EvaluationError(
                "vlm: url holds a name or password: leave them out, and name the environment "
                "variable that holds the key, key_env=…"
            )
        if not self.key.isascii() or not self.key.isprintable() or " " in self.key:
            raise EvaluationError(
                "vlm: the key holds characters that no header can: set its environment variable "
                "to the bare key"
            )

    @property
    def _parts(self) -> SplitResult:
        try:
            parts = urlsplit(self.url)
            _ = parts.port  # a wrong one raises here
            return parts
        except ValueError:
            return urlsplit("")

    @property
    def address(self) -> str:
        """Where requests go."""
        parts = self._parts
        path = parts.path.rstrip("/")
        if not path.endswith("/chat/completions"):
            path = f"{path or '/v1'}/chat/completions"
        return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))

    @property
    def shown(self) -> str:
        """The address for people, without its query, which may hold secrets."""
        return urlunsplit(urlsplit(self.address)._replace(query=""))

    def hidden(self, text: str) -> str:
        """A text in which the key cannot be seen; a short one is no secret, but may be a word."""
        return text.replace(self.key, "[key]") if len(self.key) >= SHORTEST_SECRET else text
