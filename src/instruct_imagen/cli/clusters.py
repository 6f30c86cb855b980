"""`instruct-imagen clusters`: from captioned images to clusters of five, and to shards."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instruct_imagen.cli.arguments import check_folder, positive, seed
from instruct_imagen.cli.cluster_pages import add_verbs
from instruct_imagen.cli.cluster_settings import settings_from
from instruct_imagen.cli.errors import UsageError

if TYPE_CHECKING:
    from instruct_imagen.data.clusters.steps.base import Step

SHOWN = 5
"""Lines of each step that are printed; all are in its manifests."""

EXAMPLES = """examples:
  instruct-imagen clusters build data/web out/clusters --workers 8
  instruct-imagen clusters build data/web out/clusters filters.min_side=256 least=0.6
  instruct-imagen clusters build data/web out/clusters image_model=openai/clip-vit-large-patch14
  DAFT_RUNNER=ray RAY_ADDRESS=… instruct-imagen clusters build /shared/web /shared/out --workers 64
  instruct-imagen clusters write out/clusters out/stage1 --size 32
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command and its verbs."""
    own = commands.add_parser(
        "clusters",
        help="clusters of five related images from a corpus, for stage 1",
        description="Clusters of five related, different images with captions ([Hu24] §3.2).",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = own.add_subparsers(metavar="VERB", required=True, parser_class=type(own))
    build = verbs.add_parser(
        "build",
        help="find the clusters of a corpus",
        description=(
            "Reads a folder of captioned images, filters, embeds, sorts into domains, finds "
            "neighbours and near-duplicates, and cuts clusters. Called again after an end at any "
            "moment, or with other settings, it does what is left to do."
        ),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    build.add_argument("corpus", type=Path, metavar="CORPUS", help="tars, tables or a folder")
    build.add_argument("out", type=Path, metavar="OUT", help="folder of the build")
    build.add_argument("--kind", default="", help="of the corpus, see `corpus list` (found out)")
    build.add_argument(
        "--option",
        action="append",
        default=[],
        dest="options",
        metavar="KEY=VALUE",
        help="of that kind, e.g. caption=alt_text; may be given several times",
    )
    build.add_argument(
        "--part-rows", type=positive, help="rows of a part of a table or folder (10000)"
    )
    build.add_argument("--domains", type=Path, metavar="FILE", help='JSON: {"art": ["a painting"]}')
    build.add_argument(
        "--store", type=Path, metavar="FOLDER", help="keep vectors here, for other builds too"
    )
    build.add_argument(
        "--holdout",
        action="append",
        default=[],
        dest="holdouts",
        metavar="FOLDER",
        help="take out what is alike to its images, as of a test set; `starter`: of this project's "
        "own; may be given several times",
    )
    build.add_argument("--until", metavar="STEP", help="end after this step")
    build.add_argument(
        "--workers", type=positive, default=1, help="processes; they change no byte (1)"
    )
    build.add_argument(
        "settings", nargs="*", metavar="KEY=VALUE", default=[], help="see docs/clusters.md"
    )
    build.set_defaults(run=build_command)
    write = verbs.add_parser(
        "write",
        help="write the clusters as shards that stage 1 is trained on",
        epilog="example: instruct-imagen clusters write out/clusters out/stage1 --size 32",
    )
    write.add_argument("build", type=Path, metavar="BUILD", help="folder of the build")
    write.add_argument("out", type=Path, metavar="OUT", help="folder of the shards")
    write.add_argument("--clusters", type=positive, help="only so many, the tightest ones (all)")
    write.add_argument("--size", type=positive, default=64, help="pixels of a picture (64)")
    write.add_argument(
        "--fit", choices=("crop", "pad"), default="crop", help="how images become square (crop)"
    )
    write.add_argument("--licence", default="not stated", help="of the images, for the manifest")
    write.add_argument("--seed", type=seed, default=0, help="of order and contexts (0)")
    write.add_argument("--shard", type=positive, default=1000, help="examples a shard (1000)")
    write.add_argument(
        "--workers", type=positive, default=1, help="processes; they change no byte (1)"
    )
    write.set_defaults(run=write_command)
    add_verbs(verbs)


def build_command(chosen: argparse.Namespace) -> None:
    """Finds clusters."""
    from instruct_imagen.cli.corpus import options_in
    from instruct_imagen.data.clusters.building import build, reading
    from instruct_imagen.data.clusters.engine import elsewhere
    from instruct_imagen.data.clusters.holdouts import STARTER, open_holdout
    from instruct_imagen.data.clusters.pages.report import PAGE, write_report
    from instruct_imagen.data.clusters.reading import PART_ROWS, open_web_corpus
    from instruct_imagen.data.clusters.settings import (
        ClusterSettings,
        keep_dtype,
        steps_of,
        with_dtype,
    )

    check_folder(chosen.out, name="OUT")
    out, folder = chosen.out.resolve(), chosen.corpus.resolve()
    for name, path in (("OUT", out), ("--store", chosen.store and chosen.store.resolve())):
        if path is not None and path.is_relative_to(folder):
            raise UsageError(
                f"{name} is inside CORPUS, and would be read as a part of it: name another"
            )
    if chosen.store is not None and elsewhere():
        raise UsageError("--store is one file of one machine: leave it out with DAFT_RUNNER=ray")
    asked = settings_from(chosen.settings, chosen.domains)
    settings, remark = with_dtype(out, asked)
    if not chosen.holdouts and settings.holdout != ClusterSettings().holdout:
        raise UsageError(
            "holdout.… says from where on a row is a picture of a hold-out, and there is none: "
            "name one with --holdout, or leave it out"
        )
    options = options_in(chosen.options)
    rows = chosen.part_rows or PART_ROWS
    corpus = open_web_corpus(folder, kind=chosen.kind, options=options, part_rows=rows)
    store = chosen.store and chosen.store.resolve()
    for given in chosen.holdouts:
        if given == STARTER or not Path(given).is_dir():
            continue
        held = Path(given).resolve()
        if folder.is_relative_to(held):
            raise UsageError(f"--holdout {given} holds CORPUS itself: nothing of it would be left")
        for name, path in (("OUT", out), ("--store", store)):
            if path is not None and path.is_relative_to(held):
                raise UsageError(f"{name} is inside --holdout {given}: name another")
    holdouts = [open_holdout(given) for given in chosen.holdouts]
    names = [one.name for one in holdouts]
    if len(set(names)) < len(names):
        raise UsageError(
            f"hold-outs are told apart by the names of their folders, and {', '.join(names)} are "
            "not all different: rename one"
        )
    every = steps_of(out, corpus, settings, store, holdouts)
    steps = until(every, chosen.until)
    about = {
        "folder": str(corpus.folder.resolve()),
        "kind": corpus.kind,
        "options": dict(corpus.options),
        "parts": corpus.parts,
        "settings": dataclasses.asdict(settings),
        "steps": [step.name for step in every],
        "holdouts": [
            {**one.about(), "inputs": [one.inputs(part) for part in range(one.parts)]}
            for one in holdouts
        ],
    }
    if remark:
        print(remark, file=sys.stderr)
    bars = _Bars()
    try:
        counts = build(
            chosen.out, steps, workers=chosen.workers, report=bars, about=about,
            begin=lambda: keep_dtype(out, settings, stated=bool(asked.dtype)),
        )  # fmt: skip
    finally:
        bars.close()
    for step in steps:
        found = ", ".join(f"{what} {number:,}" for what, number in counts[step.name].items())
        print(f"{step.name}: {found or 'nothing'}")
        notes = (line for one in step.records() for lines in one.notes.values() for line in lines)
        for line in islice(notes, SHOWN):
            print(f"  {line}", file=sys.stderr)
    if steps[-1].name == every[-1].name:
        with reading(chosen.out):
            write_report(chosen.out, chosen.out / PAGE, again=False)


def write_command(chosen: argparse.Namespace) -> None:
    """Writes shards."""
    from tqdm import tqdm

    from instruct_imagen.data.clusters.building import reading
    from instruct_imagen.data.clusters.by_concept import CLUSTER_SIZE
    from instruct_imagen.data.clusters.finished import corpus_of
    from instruct_imagen.data.clusters.steps.members import MEMBERS, Members
    from instruct_imagen.data.clusters.writing import ClusterJob, read_members
    from instruct_imagen.data.shards.building import build_shards

    check_folder(chosen.out, name="OUT")
    with reading(chosen.build) as about:
        members = chosen.build / Members.name / MEMBERS
        there = read_members(members).num_rows // CLUSTER_SIZE
        if not there:
            raise UsageError(f"{chosen.build} holds no clusters: filters or `least` leave none")
        corpus, _ = corpus_of(chosen.build, about)
        if not corpus.folder.is_dir():
            raise UsageError(
                f"the corpus of {chosen.build} is no longer at {corpus.folder}: build again from "
                "where it lies now (what is done is not done again)"
            )
        job = ClusterJob(
            members=members,
            clusters=min(chosen.clusters or there, there),
            corpus=corpus,
            licence=chosen.licence,
            size=chosen.size,
            fit=chosen.fit,
            seed=chosen.seed,
            shard=chosen.shard,
        )
        with tqdm(total=job.shards, unit="shard", disable=None) as bar:
            manifest = build_shards(
                chosen.out, job, workers=chosen.workers, report=lambda made: bar.update() and None
            )
    print(f"{chosen.out}: {manifest.examples:,} examples of {job.clusters:,} clusters")


def until(steps: Sequence[Step], last: str | None) -> Sequence[Step]:
    """The steps up to one; all without a name.

    Raises:
        UsageError: There is no such step.
    """
    names = [step.name for step in steps]
    if last is None:
        return steps
    if last not in names:
        raise UsageError(f"--until must be one of {', '.join(names)}, not '{last}'")
    return steps[: names.index(last) + 1]


class _Bars:
    """A bar a step, which only a person at a terminal sees."""

    def __init__(self) -> None:
        self._name = ""
        self._bar: Any = None

    def __call__(self, step: Step, done: int, parts: int) -> None:
        from tqdm import tqdm

        if step.name != self._name:
            self.close()
            self._name = step.name
            self._bar = tqdm(total=parts, initial=done, desc=step.name, unit="part", disable=None)
        else:
            self._bar.update(done - self._bar.n if not self._bar.disable else 0)

    def close(self) -> None:
        """Ends the bar that is there."""
        if self._bar is not None:
            self._bar.close()
