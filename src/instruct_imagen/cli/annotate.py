"""`instruct-imagen annotate`: images become edges, sketches, depth or masks."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instruct_imagen.cli.arguments import check_folder
from instruct_imagen.cli.errors import UsageError

if TYPE_CHECKING:
    from instruct_imagen.data.annotators.base import Annotator

AT_ONCE = 16
"""Images that are in memory together, at least a batch."""

EXAMPLES = """examples:
  instruct-imagen annotate edge dog.jpg cat.jpg --out out/edges
  instruct-imagen annotate canny dog.jpg --set low=10 --out out/edges
  instruct-imagen annotate depth dog.jpg --model Intel/dpt-hybrid-midas --out out/depth
  instruct-imagen annotate mask dog.jpg --model u2net.onnx --set size=320 --out out/masks
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    own = commands.add_parser(
        "annotate",
        help="draw edges, a sketch, depth or a mask of images",
        description=(
            "Draws one kind of annotation of images, as references for generate: NAME.png becomes "
            "NAME-KIND.png in FOLDER. An unknown KIND lists those there are."
        ),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    own.add_argument("kind", metavar="KIND", help="e.g. edge, canny, sketch, depth or mask")
    own.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="files to annotate")
    own.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="to write to")
    own.add_argument("--model", metavar="NAME", help="the network: a folder, a file or a hub name")
    own.add_argument(
        "--set",
        action="append",
        default=[],
        dest="given",
        metavar="KEY=VALUE",
        help="another setting of the kind; an unknown one lists those there are",
    )
    own.add_argument(
        "--cache", type=Path, metavar="FOLDER", help="keep annotations here, by content"
    )
    own.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Annotates the images and prints the path of each annotation."""
    from instruct_imagen.data.annotators.cache import CachedAnnotator
    from instruct_imagen.images import load_image, save_png

    settings = chosen.given + ([f"model={chosen.model}"] if chosen.model is not None else [])
    annotator = build(chosen.kind, settings)
    targets = names(chosen.images, chosen.kind, chosen.out)
    check_folder(chosen.out, name="--out")
    if chosen.cache is not None:
        check_folder(chosen.cache, name="--cache")
        annotator = CachedAnnotator(annotator, chosen.cache)
    count = max(AT_ONCE, annotator.batch_size)
    for start in range(0, len(targets), count):
        images = [load_image(path) for path in chosen.images[start : start + count]]
        drawn = annotator(images)
        for target, annotation in zip(targets[start : start + count], drawn, strict=True):
            save_png(target, annotation)
            print(target, flush=True)


def build(kind: str, given: Sequence[str]) -> Annotator:
    """The annotator with ``key=value`` settings, each read by its field's type.

    Raises:
        AnnotatorError: An unknown kind or setting.
        RecipeError: A value of another type.
        UsageError: No setting, or one that is given twice.
    """
    from instruct_imagen.data.annotators.registry import annotator, annotator_class
    from instruct_imagen.recipes.config import parse_value

    found = annotator_class(kind)
    types = typing.get_type_hints(found)
    hints = {field.name: types[field.name] for field in dataclasses.fields(found)}
    settings: dict[str, Any] = {}
    for setting in given:
        key, sign, text = setting.partition("=")
        if not sign:
            raise UsageError(f"--set '{setting}' is no setting: write KEY=VALUE")
        if key in settings:
            raise UsageError(f"{key} is given twice: leave one out")
        settings[key] = parse_value(key, text, hints[key]) if key in hints else text
    return annotator(kind, **settings)


def names(images: Sequence[Path], kind: str, out: Path) -> list[Path]:
    """Where the annotation of each image goes.

    Raises:
        UsageError: Two would be one file, or one would replace an image.
    """
    targets = [out / f"{path.stem}-{kind}.png" for path in images]
    places: dict[Path, Path] = {}
    sources = {path.resolve() for path in images}
    for path, target in zip(images, targets, strict=True):
        if target.resolve() in sources:
            raise UsageError(f"{target} is one of the images and would be replaced: rename it")
        same = places.setdefault(target, path)
        if same != path:
            raise UsageError(f"{same} and {path} would both become {target}: rename one")
    return targets
