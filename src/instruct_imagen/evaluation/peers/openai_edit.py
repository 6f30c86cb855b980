"""Whatever speaks OpenAI's image API: the references as files of an edit, the words as its prompt.

``POST /v1/images/edits`` takes several images (``image[]``) as multipart and answers with base64;
without any reference, ``POST /v1/images/generations`` is asked.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import os
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, ClassVar

from PIL import Image

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.peers.options import count, fingerprint_of, number
from instruct_imagen.images import ImageError, load_image, to_square
from instruct_imagen.instruction import Instruction, markers_in

KEY = "OPENAI_API_KEY"
"""Environment variable with the key; local servers often need none."""

_RETRIED = (408, 409, 429, 500, 502, 503, 504)
_LONGEST_REPLY = 64 << 20


class OpenAIEdit:
    """Asks an OpenAI-compatible server.

    Such servers take no seed, so a second run gives other images: what was made is kept, as of
    every model.

    Args:
        url: Up to and with ``/v1``, e.g. ``http://localhost:8000/v1``.
        model: Name of the model.
        size: Side of the images that are asked for; also of those that are kept.
        timeout: Seconds that one request may take.
        retries: How often a request that failed for the moment is repeated.
        wait: Seconds before the first repetition; each further one waits twice as long.

    Raises:
        EvaluationError: An option is wrong.
    """

    name: ClassVar[str] = "openai_edit"
    raw_inputs = False

    def __init__(
        self,
        *,
        url: str,
        model: str = "gpt-image-1",
        size: str = "1024",
        timeout: str = "180",
        retries: str = "4",
        wait: str = "2",
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise EvaluationError(f"url={url} must begin with http:// or https://")
        self.size = count("size", size, least=8, most=4096)
        self._url = url.rstrip("/")
        self._model = model
        self._timeout = number("timeout", timeout, least=0.1, whole=False)
        self._retries = count("retries", retries, least=0, most=100)
        self._wait = number("wait", wait, least=0, whole=False)
        self.fingerprint = fingerprint_of(
            {"peer": self.name, "url": self._url, "model": model, "size": self.size}
        )

    def generate(self, instruction: Instruction, *, seed: int) -> Image.Image:
        """See `Generator`; the seed is not sent.

        Raises:
            EvaluationError: The server refuses, or fails more often than it may.
        """
        fields = {
            "model": self._model,
            "prompt": prompt_of(instruction),
            "n": "1",
            "size": f"{self.size}x{self.size}",
        }
        files = [
            (f"ref{place}.png", _png(to_square(load_image(reference.image), self.size)))
            for place, reference in enumerate(instruction.references, start=1)
        ]
        if files:
            kind, body = multipart(fields, "image[]", files)
            reply = self._ask("images/edits", kind, body)
        else:
            kind = "application/json"
            reply = self._ask("images/generations", kind, json.dumps({**fields, "n": 1}).encode())
        return to_square(_image(reply), self.size)

    def _ask(self, path: str, kind: str, body: bytes) -> bytes:
        """The reply to a request that may be repeated."""
        headers = {"Content-Type": kind, "Accept": "application/json"}
        if key := os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(
            f"{self._url}/{path}", data=body, headers=headers, method="POST"
        )
        for attempt in range(self._retries + 1):
            try:
                with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                    return bytes(answer.read(_LONGEST_REPLY))
            except urllib.error.HTTPError as error:
                problem = f"{error.code} {_message(error)}"
                if error.code not in _RETRIED:
                    raise EvaluationError(f"{self._url} refuses: {problem}") from None
            except (OSError, TimeoutError) as error:  # a URLError is an OSError
                problem = str(getattr(error, "reason", error)) or type(error).__name__
            if attempt < self._retries:
                time.sleep(self._wait * 2**attempt)
        times = f"{self._retries + 1} times" if self._retries else "once"
        raise EvaluationError(
            f"{self._url} failed {times}, last with: {problem}: check url=, the server and {KEY}"
        )


def prompt_of(instruction: Instruction) -> str:
    """The words, and which image each marker means: such servers know no markers.

    ``"Draw the [ref#1] dog."`` becomes ``"Draw the (image 1) dog. Image 1: dog."``.
    """
    text = instruction.text
    order: dict[int, list[int]] = {}
    for place, reference in enumerate(instruction.references, start=1):
        order.setdefault(reference.marker, []).append(place)
    for marker in markers_in(text):
        numbers = order[marker]
        word = "image" if len(numbers) == 1 else "images"
        text = text.replace(f"[ref#{marker}]", f"({word} {', '.join(map(str, numbers))})")
    notes = [
        f"Image {place}: {reference.text}."
        for place, reference in enumerate(instruction.references, start=1)
    ]
    return " ".join([text, *notes])


def multipart(
    fields: dict[str, str], name: str, files: Sequence[tuple[str, bytes]]
) -> tuple[str, bytes]:
    """Content type and body of a form with PNG files (RFC 7578)."""
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    for file, content in files:
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; '
            f'filename="{file}"\r\nContent-Type: image/png\r\n\r\n'
        )
        parts += [head.encode(), content, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", b"".join(parts)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _message(error: urllib.error.HTTPError) -> str:
    """What the server says is wrong, in one line."""
    try:
        said: Any = json.loads(error.read(100_000))
        return " ".join(str(said["error"]["message"]).split())[:300]
    except (ValueError, KeyError, TypeError, OSError):
        return str(error.reason)


def _image(reply: bytes) -> Image.Image:
    """The first image of a reply."""
    try:
        content = base64.b64decode(json.loads(reply)["data"][0]["b64_json"], validate=True)
        return load_image(io.BytesIO(content))
    except (ValueError, KeyError, IndexError, TypeError, binascii.Error, ImageError) as error:
        raise EvaluationError(
            f"the server's reply has no image in data[0].b64_json ({type(error).__name__}: "
            f"{error}): ask for base64"
        ) from None


PEER = OpenAIEdit
