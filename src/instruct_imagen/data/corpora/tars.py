"""Samples in tar files, as WebDataset lays them out: neighbours whose names begin alike.

``000000017.jpg``, ``000000017.txt`` and ``000000017.json`` are one sample. Tars are read where they
lie: nothing is extracted, links and paths that lead elsewhere are refused.
"""

from __future__ import annotations

import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from instruct_imagen.data.corpora.base import MAX_BYTES, NO_RIGHT, EntryError, no_right


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Files of one sample.

    Attributes:
        place: ``"00000/000000017"``: its tar and its name in it.
        files: Their contents by extension in lower case, without the dot.
        tar: Its tar, relative to the folder of the corpus; empty elsewhere.
        offsets: Where in the tar the contents begin, by extension; of those that lie there in
            one piece.
    """

    place: str
    files: Mapping[str, bytes]
    tar: str = ""
    offsets: Mapping[str, int] = field(default_factory=dict)


@dataclass(kw_only=True)
class _Group:
    """Headers of one sample; `fault` says why it cannot be used."""

    key: str
    members: dict[str, tarfile.TarInfo] = field(default_factory=dict)
    fault: str = ""
    reason: str = "broken sample"


class Tars:
    """The samples of several tars, in the order given."""

    def __init__(self, folder: Path, files: Sequence[Path], extensions: Collection[str]) -> None:
        """Opens nothing yet.

        Args:
            folder: Of the corpus; places are relative to it.
            files: At least one.
            extensions: What is read of a sample; other files in it are passed over.
        """
        self._folder, self._files = folder, files
        self._extensions = frozenset(extensions)

    @property
    def files(self) -> tuple[Path, ...]:
        """The tars."""
        return tuple(self._files)

    def size(self, part: int, parts: int) -> None:
        """Not known: only reading tells."""
        return None

    def entries(self, part: int, parts: int, start: int) -> Iterator[Sample | EntryError]:
        """The samples of a part from number `start` on; of those before it, headers are read.

        A part has whole tars where there are enough of them.
        """
        passed = 0
        for index, offset, stride in turns(len(self._files), part, parts):
            for number, found in enumerate(self._samples(self._files[index])):
                if number % stride != offset:
                    continue
                passed += 1
                if passed > start:
                    yield found() if callable(found) else found

    def _samples(self, path: Path) -> Iterator[_Late | EntryError]:
        """What is in a tar; contents are read when a sample is called."""
        name = path.relative_to(self._folder).as_posix()
        stem = name.removesuffix(path.suffix)
        read = 0
        try:
            with tarfile.open(path, mode="r:") as tar:
                seen: set[str] = set()
                for group in _groups(tar):
                    place = f"{stem}/{group.key}"
                    if group.key in seen:
                        group.fault, group.reason = "the tar holds it twice", "repeated key"
                    seen.add(group.key)
                    read += 1
                    if group.fault:
                        yield EntryError(f"{place}: {group.fault}", group.reason)
                    else:
                        yield _Late(tar, name, place, group.members, self._extensions)
                check_end(tar, path)
        except PermissionError:
            yield EntryError(no_right(name), NO_RIGHT)
        except (tarfile.TarError, OSError) as error:
            cause = " ".join(str(error).split())
            yield EntryError(f"{name} breaks off after {read} samples ({cause})", "tar breaks off")


def check_end(tar: tarfile.TarFile, path: Path) -> None:
    """Raises unless a tar that was read to where it seems to end does end there.

    Cut between two files it reads like a whole one, but for the zeros at its end; and behind a
    broken header `tarfile` reads nothing more, as if nothing were there.

    Raises:
        tarfile.ReadError: Its end is missing, or something else lies there.
    """
    with path.open("rb") as file:
        file.seek(tar.offset)
        block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("its end is missing")
    if block.count(0) < len(block):
        raise tarfile.ReadError(f"broken header at byte {tar.offset}")


@dataclass(frozen=True)
class _Late:
    """A sample whose headers are read and whose contents are not."""

    tar: tarfile.TarFile
    name: str
    place: str
    members: Mapping[str, tarfile.TarInfo]
    extensions: frozenset[str]

    def __call__(self) -> Sample | EntryError:
        files = {}
        for extension, member in self.members.items():
            if extension not in self.extensions:
                continue
            if member.size > MAX_BYTES:
                return EntryError(
                    f"{self.place}: {member.size} bytes, the limit is {MAX_BYTES}", "too many bytes"
                )
            try:
                files[extension] = _content(self.tar, member)
            except (tarfile.TarError, OSError) as error:
                cause = " ".join(str(error).split())
                return EntryError(f"{self.place}: {cause}", "tar breaks off")
        offsets = {
            extension: member.offset_data
            for extension, member in self.members.items()
            if extension in files and not member.issparse()
        }
        return Sample(place=self.place, files=files, tar=self.name, offsets=offsets)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Of a regular file; what `extractfile` gives, without its buffers."""
    if member.issparse() or tar.fileobj is None:
        content = tar.extractfile(member)
        return content.read() if content is not None else b""
    tar.fileobj.seek(member.offset_data)
    found = tar.fileobj.read(member.size)
    if len(found) < member.size:
        raise tarfile.ReadError("unexpected end of data")
    return found


def turns(tars: int, part: int, parts: int) -> list[tuple[int, int, int]]:
    """Which tars a part reads, and what of each.

    Args:
        tars: How many there are.
        part: From 0.
        parts: How many share them.

    Returns:
        Tuples of a tar, an offset and a stride: of its samples those whose number is the offset,
        modulo the stride. Stride 1 as long as there is a tar for each part.
    """
    if tars >= parts:
        return [(index, 0, 1) for index in range(part, tars, parts)]
    index, offset = part % tars, part // tars
    return [(index, offset, len(range(index, parts, tars)))]


def _groups(tar: tarfile.TarFile) -> Iterator[_Group]:
    """Neighbouring members of one key, in their order."""
    group: _Group | None = None
    while (member := tar.next()) is not None:
        tar.members.clear()  # it would keep the headers of all that it has passed
        # Strings, because this is done for every member, and pathlib takes its time.
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        name = parts.pop() if parts else ""
        if member.name.startswith("/"):
            parts.insert(0, "")
        if member.isdir() or name.startswith("."):
            continue
        base, _, extension = name.partition(".")
        key = "/".join((*parts, base))
        # A name that comes twice in a row begins the sample anew: the second is then refused.
        again = group is not None and extension.lower() in group.members
        if group is None or key != group.key or again:
            if group is not None:
                yield group
            group = _Group(key=key)
        if not member.isreg():
            group.fault = f"{member.name} is a link or no file"
        elif member.name.startswith("/") or ".." in parts:
            group.fault = f"{member.name} leads out of the tar"
        else:
            group.members[extension.lower()] = member
    if group is not None:
        yield group
