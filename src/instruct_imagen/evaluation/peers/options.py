"""Options of peers, which come as texts, as numbers; and fingerprints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from instruct_imagen.evaluation.case import EvaluationError


def number(name: str, text: str, *, least: float, most: float = 1e9, whole: bool = True) -> float:
    """A number in a range.

    Raises:
        EvaluationError: The text is none.
    """
    kind = "a whole number" if whole else "a number"
    try:
        value: float = int(text) if whole else float(text)
    except ValueError:
        raise EvaluationError(
            f"{name}={text} must be {kind} of at least {least:g}: e.g. {name}={least:g}"
        ) from None
    if not least <= value <= most:
        raise EvaluationError(f"{name}={text} must be {kind} from {least:g} to {most:g}")
    return value


def count(name: str, text: str, *, least: int = 1, most: int = 10_000) -> int:
    """A whole number in a range; see `number`."""
    return int(number(name, text, least=least, most=most))


def fingerprint_of(settings: Mapping[str, Any], files: Iterable[Path] = ()) -> str:
    """SHA-256 over settings and the bytes of files, hexadecimal, 16 digits.

    Args:
        settings: Whatever changes images, as plain JSON types.
        files: Weights and configurations, in an order that is always the same.
    """
    digest = hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode())
    for path in files:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
