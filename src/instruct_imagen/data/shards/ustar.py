"""Reads the tars that `layout.write_tar` writes, and no others, several times as fast as tarfile.

Such a tar has plain files only, whose headers differ in name and size alone. So all else of a
header is compared with what it must be, and links, odd owners and damage are one and the same
fault. Tars of other programs are read by `data.corpora.tars`.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from instruct_imagen.data.corpora.base import MAX_BYTES
from instruct_imagen.data.shards.layout import ShardError

_BLOCK = 512
_END = bytes(_BLOCK)
_NAME, _SIZE, _SUM = slice(0, 100), slice(124, 136), slice(148, 156)
# As tarfile writes them; int(…, 8) would take signs, spaces, underscores and "0o" as well.
_SIZE_DIGITS, _SUM_DIGITS = re.compile(rb"([0-7]{11})\0"), re.compile(rb"([0-7]{6})\0 ")
_PLAIN = tarfile.TarInfo("").tobuf(tarfile.USTAR_FORMAT)
# Between and behind name, size and checksum: mode and owner; time; kind, magic and the rest.
_FIXED = (slice(100, 124), slice(136, 148), slice(156, _BLOCK))
_EXPECTED = tuple(_PLAIN[part] for part in _FIXED)
# A checksum is that of a header whose own is spaces.
_FIXED_SUM = sum(map(sum, _EXPECTED)) + 8 * ord(" ")


@dataclass(frozen=True)
class Member:
    """A file in a tar, by where it lies."""

    name: str
    start: int
    size: int


def members(file: BinaryIO, path: Path) -> Iterator[Member]:
    """The files of a tar in their order; only headers are read.

    Args:
        file: Opened for reading bytes. Between two members it may be moved.
        path: Its name, for messages.

    Raises:
        ShardError: A header is not as `layout.write_tar` writes it, or breaks off.
    """
    at = 0
    while True:
        file.seek(at)
        header = file.read(_BLOCK)
        if header in (_END, b""):  # nothing at all: the caller knows whether that is too early
            return
        member = _member(header, at, path)
        yield member
        at = member.start + -(-member.size // _BLOCK) * _BLOCK


def _member(header: bytes, at: int, path: Path) -> Member:
    if len(header) < _BLOCK:
        raise ShardError(f"{path} breaks off at byte {at}: build it again")
    name, size = header[_NAME].rstrip(b"\0"), header[_SIZE]
    length, written = _SIZE_DIGITS.fullmatch(size), _SUM_DIGITS.fullmatch(header[_SUM])
    right = (
        length is not None
        and written is not None
        and int(written[1], 8) == _FIXED_SUM + sum(name) + sum(size)
        and int(length[1], 8) <= MAX_BYTES
        and tuple(header[part] for part in _FIXED) == _EXPECTED
        and name.isascii()
        and b"/" not in name
    )
    if not right:
        raise ShardError(
            f"{path} has at byte {at} no file as `tasks build` writes them: it is damaged, or "
            "another program wrote it; build it again"
        )
    return Member(name.decode("ascii"), at + _BLOCK, int(length[1], 8))


def content(file: BinaryIO, member: Member, path: Path) -> bytes:
    """What a file of a tar holds.

    Raises:
        ShardError: The tar breaks off in it.
    """
    file.seek(member.start)
    found = file.read(member.size)
    if len(found) < member.size:
        raise ShardError(f"{path} breaks off in {member.name}: build it again")
    return found
