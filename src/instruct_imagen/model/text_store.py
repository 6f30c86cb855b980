"""Text states on disk, by content: what one run has encoded, the next one reads.

A folder holds files of records, one file a process. A record is a header (magic, dtype, shape, key,
checksum) and the states of one text. Files are only ever appended to, so a process that is killed
while it writes leaves at worst one torn record at the end of its own file, which no reader takes.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
import tempfile
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

SUFFIX = ".textstates"
_HEADER = struct.Struct("<4sBIII32s")  # magic, dtype, tokens, width, checksum, key
_MAGIC = b"TxS1"
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


class TextStoreError(OSError):
    """A folder that cannot keep states; the message names it and the cure."""


@dataclass(frozen=True)
class _Place:
    """Where the states of a record lie."""

    path: Path
    offset: int
    dtype: torch.dtype
    tokens: int
    width: int
    checksum: int

    @property
    def size(self) -> int:
        """Bytes of the states."""
        return self.tokens * self.width * self.dtype.itemsize


class TextStore:
    """States of token sequences in a folder that several processes and runs may share.

    What others write after the store was opened is found by the next one that is opened.

    Args:
        folder: Made if it is not there.
        identity: Of all that the states depend on besides the tokens. States that were kept under
            another one are never read.

    Attributes:
        found: How many records could be read when it was opened, of any identity.
        hits: How many sequences were read since.

    Raises:
        TextStoreError: The folder cannot be read or written.
    """

    def __init__(self, folder: str | Path, identity: bytes) -> None:
        self.folder = Path(folder)
        self.identity = identity
        self._places: dict[bytes, _Place] = {}
        self._own: BinaryIO | None = None
        self.hits = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as probe:
                probe.write(b"\0")
            for path in sorted(self.folder.glob(f"*{SUFFIX}")):
                self._index(path)
        except OSError as error:
            raise TextStoreError(
                f"text_store={folder} cannot be read and written ({error}): name another folder"
            ) from error
        self.found = len(self._places)

    def key(self, tokens: Sequence[int]) -> bytes:
        """32 bytes that name the states of a token sequence."""
        return hashlib.sha256(self.identity + array("q", tokens).tobytes()).digest()

    def read(self, key: bytes) -> Tensor | None:
        """(L, D) float32 on the CPU, the very values that were written; None if there are none."""
        place = self._places.get(key)
        if place is None:
            return None
        with place.path.open("rb") as file:  # not kept open: there may be very many
            file.seek(place.offset)
            payload = bytearray(file.read(place.size))
        if zlib.crc32(payload, zlib.crc32(key)) != place.checksum:
            # Pages that a power failure lost: the text is encoded again, and kept anew.
            del self._places[key]
            return None
        self.hits += 1
        states = torch.frombuffer(payload, dtype=place.dtype)
        return states.reshape(place.tokens, place.width).float()

    def write(self, rows: Sequence[tuple[bytes, Tensor]], dtype: torch.dtype) -> None:
        """Appends states to this process's own file.

        Args:
            rows: Keys with their states, (L, D) float32.
            dtype: Of the encoder: kept in it where it holds every value exactly, else in float32.

        Raises:
            TextStoreError: There is no room, or the file cannot be written.
        """
        try:
            if self._own is None:
                self._own = (self.folder / f"{secrets.token_hex(8)}{SUFFIX}").open("x+b")
            offset = self._own.seek(0, 2)
            for key, states in rows:
                offset = self._append(offset, key, states.cpu(), dtype)
            self._own.flush()
        except OSError as error:
            raise TextStoreError(
                f"text_store={self.folder} cannot take more texts ({error}): free some room, or "
                "name another folder"
            ) from error

    def _append(self, offset: int, key: bytes, states: Tensor, dtype: torch.dtype) -> int:
        """One record at `offset` of the own file; where the next one begins."""
        short = states.to(dtype if dtype in _DTYPES else torch.float32)
        if not torch.equal(short.float(), states):
            short = states
        payload = short.contiguous().view(torch.uint8).numpy().tobytes()
        checksum = zlib.crc32(payload, zlib.crc32(key))
        code = _DTYPES.index(short.dtype)
        tokens, width = short.shape
        self._own.write(_HEADER.pack(_MAGIC, code, tokens, width, checksum, key))
        self._own.write(payload)
        path = Path(self._own.name)
        place = _Place(path, offset + _HEADER.size, short.dtype, tokens, width, checksum)
        self._places[key] = place
        return place.offset + place.size

    def _index(self, path: Path) -> None:
        """Notes the whole records of a file; another process may be writing at its end."""
        end = path.stat().st_size
        offset = 0
        with path.open("rb") as file:
            while offset + _HEADER.size <= end:
                file.seek(offset)
                header = _HEADER.unpack(file.read(_HEADER.size))
                magic, code, tokens, width, checksum, key = header
                if magic != _MAGIC or code >= len(_DTYPES):
                    return  # nothing behind it can be found
                start = offset + _HEADER.size
                place = _Place(path, start, _DTYPES[code], tokens, width, checksum)
                offset = start + place.size
                if offset > end:
                    return  # torn, or not all written yet
                self._places[key] = place
