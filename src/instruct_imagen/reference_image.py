"""The image of a reference: a path, a PIL image or an array, carried and never decoded."""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from instruct_imagen.instruction_errors import InstructionError, short

if TYPE_CHECKING:
    from PIL import Image

ReferenceImage: TypeAlias = "Path | Image.Image | np.ndarray"
"""A path (a ``str`` given to `Reference` becomes one), a PIL image, or uint8 (H, W, 1|3|4)."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|data:[^/]*/[^/]*;base64,")
_PNG_MODES = ("1", "L", "LA", "I;16", "P", "RGB", "RGBA")


def is_address(text: str) -> bool:
    """True for what is fetched and not opened: URLs and data URIs."""
    return _URL.match(text) is not None


def _is_pil(image: object) -> bool:
    # Whoever holds a PIL image has imported PIL; whoever does not need not pay for it.
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(image, module.Image)


def checked_image(image: object) -> ReferenceImage:
    """The image as a `Reference` keeps it: paths absolute, arrays uint8 (H, W, 1|3|4)."""
    if isinstance(image, (str, os.PathLike)):
        return _checked_path(image)
    if _is_pil(image):
        return image  # type: ignore[return-value]
    if not isinstance(image, np.ndarray):
        raise InstructionError(
            f"image must be a path, a PIL image or a numpy array, not {type(image).__name__}"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise InstructionError(
            f"image array must be uint8 with shape (H, W, 1, 3 or 4), "
            f"not {image.dtype} with shape {image.shape}"
        )
    if 0 in image.shape:
        raise InstructionError(f"image array is empty, its shape is {image.shape}")
    return image


def _checked_path(image: str | os.PathLike[str]) -> Path:
    """An absolute path: the folder with its links followed, the name as it is given."""
    text = os.fspath(image)
    if not isinstance(text, str):
        raise InstructionError(f"image path must be text, not {type(text).__name__}")
    if is_address(text):
        raise InstructionError(f"image {short(text)} is an address; download it and give its path")
    if "\0" in text:
        raise InstructionError(f"image path {short(text)} holds a null character")
    path = Path(text)
    if path.name in ("", ".."):
        raise InstructionError(f"image path {short(text)} names no file; give an image file")
    return Path(os.path.realpath(path.parent)) / path.name


def check_file(path: Path, place: str) -> None:
    """Raises an error if nothing can be read from a file."""
    try:
        with path.open("rb") as stream:
            problem = "" if stream.read(1) else "is empty"
    except FileNotFoundError:
        problem = "does not exist"
    except IsADirectoryError:
        problem = "is a folder"
    except OSError as error:
        problem = f"cannot be read ({error.strerror or error})"
    if problem:
        raise InstructionError(
            f"{place}: image {str(path)!r} {problem}; give the path of an image file"
        )


def image_key(image: ReferenceImage) -> tuple[object, ...]:
    """What makes two images the same: the path, or the pixels and their layout."""
    if isinstance(image, Path):
        return ("file", os.fspath(image))
    if isinstance(image, np.ndarray):
        return ("array", image.shape, image.tobytes())
    return ("pil", image.mode, image.size, image.tobytes(), tuple(image.getpalette() or ()))


def save_beside(file: Path, image: Image.Image | np.ndarray, marker: int, place: str) -> Path:
    """Writes an in-memory image as a PNG with the same pixels, transparency and orientation.

    Args:
        file: The instruction's file; the PNG lies in its folder.
        image: What is written.
        marker: k of its reference, for the name.
        place: For errors.
    """
    from PIL import Image

    if isinstance(image, np.ndarray):
        image = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    if image.mode not in _PNG_MODES:
        raise InstructionError(
            f"{place}: a PNG cannot hold an image of mode {image.mode!r}; "
            "convert it first, e.g. image.convert('RGB')"
        )
    options: dict[str, Any] = {}
    if len(exif := image.getexif()):
        options["exif"] = exif.tobytes()
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()[:12]
    path = file.parent / f"{file.stem}.ref{marker}.{digest}.png"
    write_whole(path, data)
    return path


def written_path(image: Path, folder: str | os.PathLike[str] | None) -> str:
    """A path as JSON holds it: relative to the folder, or absolute without one."""
    if folder is None:
        return image.as_posix()
    try:
        return Path(os.path.relpath(image, os.path.realpath(folder))).as_posix()
    except ValueError:  # another drive on Windows: no relative path exists
        return image.as_posix()


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file under another name, then renames it: readers never see half of it."""
    draft = path.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        draft.write_bytes(data)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
