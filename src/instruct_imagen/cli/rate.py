"""`instruct-imagen rate`: the page on which people rate images."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from instruct_imagen.cli.arguments import check_file, is_number, positive
from instruct_imagen.cli.errors import UsageError

if TYPE_CHECKING:
    from instruct_imagen.evaluation.case import Case


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    own = commands.add_parser(
        "rate",
        help="rate images on a page, blind",
        description="Serves a page on which people rate the images of several models: blind, "
        "shuffled, by keyboard. Every rating is safe before the page moves on; whoever gives the "
        "same name goes on where they were.",
        epilog="example: instruct-imagen rate out/evaluation/in_domain/* --suite in_domain",
    )
    own.add_argument(
        "folders",
        nargs="+",
        metavar="FOLDER",
        help="what an evaluation left, one a model, called by its last name or as NAME=FOLDER",
    )
    own.add_argument("--suite", required=True, help="the suite whose cases the images answer")
    own.add_argument("--store", type=Path, default=Path("out/ratings.sqlite"), metavar="FILE",
                     help="where ratings are kept (out/ratings.sqlite)")  # fmt: skip
    own.add_argument("--raters", type=positive, default=3, metavar="N",
                     help="that every case gets, at least (3)")  # fmt: skip
    own.add_argument("--people", type=positive, default=0, metavar="N",
                     help="share the cases between so many people (each rates all)")  # fmt: skip
    own.add_argument("--cases", type=positive, metavar="N",
                     help="rate N cases, evenly of all groups (all)")  # fmt: skip
    own.add_argument("--host", default="127.0.0.1", help="address to serve at (127.0.0.1)")
    own.add_argument("--port", type=_port, default=7861, help="port to serve at (7861)")
    own.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Serves the page until it is interrupted."""
    if chosen.people and chosen.people < chosen.raters:
        raise UsageError(f"--people must be at least --raters, {chosen.raters}")
    check_file(chosen.store, name="--store")
    check_port(chosen.host, chosen.port)
    folders = method_folders(chosen.folders)
    serve_page(chosen, folders)


def serve_page(chosen: argparse.Namespace, folders: dict[str, Path]) -> None:
    """Opens the suite and the store, says what is to be rated, and serves."""
    from instruct_imagen.evaluation.rating.assignment import Plan
    from instruct_imagen.evaluation.rating.desk import RatingDesk
    from instruct_imagen.evaluation.rating.items import rating_items, sampled
    from instruct_imagen.evaluation.rating.page import serve
    from instruct_imagen.evaluation.rating.storage import Store
    from instruct_imagen.evaluation.suites.registry import open_suite

    suite = open_suite(chosen.suite)
    cases = answered(suite.cases(image_size(folders)), folders)
    if chosen.cases:
        cases = sampled(cases, chosen.cases)
    items = rating_items(cases, folders)
    store = Store(chosen.store)
    store.bind(suite.name, suite.sha256)
    plan = Plan(raters=chosen.raters, people=chosen.people)
    share = plan.share(len(cases)) * len(folders)
    print(
        f"{len(cases)} of {sum(suite.groups.values())} cases of {suite.name}, {len(folders)} "
        f"models: {len(items)} images, {share} of them for each rater",
        flush=True,
    )
    serve(RatingDesk(items, store, plan), host=chosen.host, port=chosen.port)


def check_port(host: str, port: int) -> None:
    """Raises a `UsageError` unless a page can be served there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except OSError as error:
        raise UsageError(
            f"the page cannot be served at {host}:{port} ({error.strerror}): name another --port "
            "or --host"
        ) from error


def method_folders(given: Sequence[str]) -> dict[str, Path]:
    """Method → folder of its PNG files, from ``FOLDER`` and ``NAME=FOLDER`` texts."""
    found: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        named = equals and not Path(text).is_dir()  # evaluate itself names "starter-steps=5"
        path = Path(folder if named else text)
        name = name if named else path.resolve().name
        images = path / "images"
        if not name or not images.is_dir():
            raise UsageError(
                f"'{path}' has no folder 'images': name what evaluate left of a model, e.g. "
                "out/evaluation/in_domain/starter"
            )
        if name in found:
            raise UsageError(
                f"'{found[name].parent}' and '{path}' are both called {name}: write OTHER={path}"
            )
        found[name] = images
    return found


def image_size(folders: dict[str, Path]) -> int:
    """Side in pixels of the largest model's images: references are rendered at it."""
    from instruct_imagen.images import check_image

    sides = []
    for name, folder in folders.items():
        first = next(folder.rglob("*.png"), None)
        if first is None:
            raise UsageError(f"model {name} has no images in '{folder}'")
        sides.append(max(check_image(first)))
    return max(sides)


def answered(cases: Sequence[Case], folders: dict[str, Path]) -> tuple[Case, ...]:
    """Cases of which some model has an image: a run may be of a part of its suite."""
    every = folders.values()
    return tuple(
        case for case in cases if any((folder / f"{case.id}.png").is_file() for folder in every)
    )


def _port(text: str) -> int:
    if not is_number(text) or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"must be a port from 1 to 65535, not '{text}'")
    return int(text)
