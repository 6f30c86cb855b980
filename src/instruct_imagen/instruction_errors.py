"""What is said about an instruction that cannot be followed: always one line."""

from __future__ import annotations


class InstructionError(ValueError):
    """An instruction that cannot be followed; one line that names the place and the cure."""


def is_unicode(text: str) -> bool:
    """False for a text with lone surrogates, which no file in UTF-8 can hold."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def one_line(text: str) -> str:
    """A text on one line, cut where it is long, printable anywhere."""
    text = " ".join(text.split())
    text = text if len(text) < 60 else text[:57] + "…"
    return text if is_unicode(text) else text.encode("ascii", "backslashreplace").decode()


def short(text: str) -> str:
    """The same in quotes."""
    return f"'{one_line(text)}'"
