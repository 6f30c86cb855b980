"""`instruct-imagen tasks`: examples of tasks as shards, and as sheets to look at."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from instruct_imagen.cli.arguments import check_file, check_folder, positive, seed
from instruct_imagen.cli.errors import UsageError

if TYPE_CHECKING:
    from instruct_imagen.data.annotators.base import Annotator
    from instruct_imagen.data.shards.building import Job, Made
    from instruct_imagen.data.shards.checking import Report
    from instruct_imagen.recipes import TrainConfig

SHOWN = (
    "min_styles", "concepts", "categories", "most_assets", "places", "turned", "tinted", "sources",
    "people", "world", "folder", "subject",
)  # fmt: skip
"""Settings of a recipe that change what its examples show and have no option here."""

STREAM = (*SHOWN, "targets")
"""Those that change a stream of examples."""

STARTER = "starter"
WORLD_EXAMPLES = 10_000

BUILD_EXAMPLES = """examples:
  instruct-imagen tasks build out/shards --examples 1000000 --workers 8
  instruct-imagen tasks build out/dogs --corpus dreambench=data/dreambench --task subject
  instruct-imagen tasks build out/depth --corpus captioned_tars=data/web --task depth_to_image \\
    --annotator depth,model=Intel/dpt-hybrid-midas
"""

MAX_PIXELS = 4_000_000
"""Of all targets of a sheet; it shows references, too."""


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command and its three verbs."""
    own = commands.add_parser(
        "tasks",
        help="write examples of tasks as shards, look at them, check shards",
        description="Examples of tasks: an instruction, its references and its target.",
    )
    verbs = own.add_subparsers(metavar="VERB", required=True, parser_class=type(own))
    build = verbs.add_parser(
        "build",
        help="write WebDataset shards",
        description=(
            "Writes shards of examples: of the starter world in the ratios of the recipe's last "
            "stage, or of one task from a data set of your own. Called again after an end at any "
            "moment, it goes on."
        ),
        epilog=BUILD_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    build.add_argument("out", type=Path, metavar="OUT", help="folder of the shards")
    _add_source(build, STREAM)
    build.add_argument(
        "--corpus",
        metavar="NAME=FOLDER",
        help="make --task of this data set, see `corpus list`; KEY=VALUE are its options then",
    )
    build.add_argument(
        "--annotator",
        action="append",
        default=[],
        dest="annotators",
        metavar="KIND[,KEY=VALUE…]",
        help="what annotates a data set's images, see `annotate`; may be given several times",
    )
    build.add_argument(
        "--examples",
        type=positive,
        help="how many (10000; of a data set one pass, in which each target comes once)",
    )
    build.add_argument("--shard", type=positive, default=1000, help="examples a shard (1000)")
    build.add_argument(
        "--workers", type=positive, default=1, help="processes; they change no byte (1)"
    )
    build.set_defaults(run=build_command)
    look = verbs.add_parser(
        "preview",
        help="write a contact sheet of each task",
        epilog="example: instruct-imagen tasks preview out/tasks --task styled",
    )
    look.add_argument(
        "out", type=Path, metavar="OUT", help="folder of the sheets, or a PNG for one task"
    )
    _add_source(look, SHOWN)
    look.add_argument("--count", type=positive, default=12, help="examples of each task (12)")
    look.set_defaults(run=preview_command)
    check = verbs.add_parser("check", help="read shards: faults, and counts of each task")
    check.add_argument("folder", type=Path, metavar="FOLDER", help="of the shards")
    check.set_defaults(run=check_command)


def _add_source(verb: argparse.ArgumentParser, settings: Sequence[str]) -> None:
    """What both `build` and `preview` draw from."""
    verb.add_argument("--recipe", default=STARTER, help="whose world and ratios (starter)")
    verb.add_argument("--task", metavar="NAME", help="this task alone")
    verb.add_argument("--size", type=positive, default=64, help="pixels of a picture (64)")
    verb.add_argument("--seed", type=seed, default=0, help="of the examples (0)")
    verb.add_argument(
        "settings",
        nargs="*",
        metavar="KEY=VALUE",
        default=[],
        help=f"settings of the recipe to change: {', '.join(settings)}",
    )


def build_command(chosen: argparse.Namespace) -> None:
    """Writes shards."""
    from tqdm import tqdm

    from instruct_imagen.data.shards.building import build_shards

    check_folder(chosen.out, name="OUT")
    if chosen.annotators and not chosen.corpus:
        raise UsageError("--annotator is for --corpus: the starter world knows its own edges")
    if chosen.corpus and chosen.recipe != STARTER:
        raise UsageError("--recipe is for the starter world, and --corpus is given: leave one out")
    job = _corpus_job(chosen) if chosen.corpus else _world_job(chosen)
    fates = {"kept": 0, "built": 0, "rebuilt": 0}

    def report(made: Made) -> None:
        fates[made.fate] += 1
        bar.update()
        if made.fate == "rebuilt":
            print(f"{chosen.out / made.entry.file} was damaged and is made again")

    for line in job.remarks():
        print(line, file=sys.stderr, flush=True)
    # None: only a person at a terminal sees it.
    with tqdm(total=job.shards, unit="shard", disable=None) as bar:
        manifest = build_shards(chosen.out, job, workers=chosen.workers, report=report)
    size = sum(shard.bytes for shard in manifest.shards)
    print(
        f"{chosen.out}: {_counted(manifest.examples, len(manifest.shards))}, "
        f"{size / 1e6:,.1f} MB ({', '.join(f'{n} {fate}' for fate, n in fates.items() if n)})"
    )


def _world_job(chosen: argparse.Namespace) -> Job:
    """Of a recipe's world."""
    from instruct_imagen.data.shards.job import ShardJob
    from instruct_imagen.training.build import build_photographs, build_world, tasks_with
    from instruct_imagen.training.packed_world import load_world

    config = _config(chosen, STREAM)
    photographs = None if config.world else build_photographs(config)
    tasks = tasks_with(photographs)
    _check_task(chosen, tasks)
    if config.world:
        packed = load_world(config)
        vocabulary, atlas = packed.vocabulary, packed.atlas
    else:
        vocabulary, atlas = build_world(config)
    return ShardJob(
        recipe=config.name,
        tasks=dict(tasks),
        ratios=_ratios(config, chosen.task),
        vocabulary=vocabulary,
        atlas=atlas,
        photographs=photographs,
        size=config.size,
        seed=config.seed,
        targets=config.targets,
        examples=chosen.examples or WORLD_EXAMPLES,
        shard=chosen.shard,
    )


def _corpus_job(chosen: argparse.Namespace) -> Job:
    """Of a data set; says what was read of it."""
    from instruct_imagen.cli.corpus import options_in
    from instruct_imagen.data.corpus_tasks import corpus_job

    name, sign, folder = chosen.corpus.partition("=")
    if not sign or not folder:
        raise UsageError(f"--corpus is NAME=FOLDER, not '{chosen.corpus}'")
    if not chosen.task:
        raise UsageError("--corpus needs --task: a folder of shards has one task of a data set")
    job = corpus_job(
        name,
        Path(folder),
        chosen.task,
        options=options_in(chosen.settings),
        annotators=_annotators(chosen.annotators),
        size=chosen.size,
        seed=chosen.seed,
        examples=chosen.examples or 0,
        shard=chosen.shard,
    )
    plan = job.plan
    print(
        f"{name}: {plan.records:,} records, {plan.problems:,} problems; {len(plan):,} targets, "
        f"{plan.unused:,} records give none",
        flush=True,
    )
    return job


def _annotators(given: Sequence[str]) -> dict[str, Annotator]:
    """By role, from ``KIND,KEY=VALUE,…``; a comma within a value is none of these."""
    from instruct_imagen.cli.annotate import build
    from instruct_imagen.data.corpus_tasks.job import ROLES

    found: dict[str, Annotator] = {}
    for text in given:
        kind, *settings = re.split(r",(?=\w+=)", text)
        annotator = build(kind, settings)  # names an unknown kind
        role = ROLES[kind]
        if role in found:
            raise UsageError(f"two annotators find {role}: leave one out")
        found[role] = annotator
    return found


def preview_command(chosen: argparse.Namespace) -> None:
    """Writes contact sheets."""
    from instruct_imagen.data.task_sheet import pairs_of, task_sheet
    from instruct_imagen.data.tasks.base import drawable
    from instruct_imagen.data.world.atlas import SIDE, Atlas
    from instruct_imagen.data.world.scenes import scene_rng
    from instruct_imagen.images import save_png
    from instruct_imagen.training.build import build_photographs, recipe_vocabulary, tasks_with
    from instruct_imagen.training.packed_world import load_world

    one = chosen.out.suffix.lower() == ".png"
    if one and not chosen.task:
        raise UsageError(f"'{chosen.out}' is one sheet: name a folder, or a task with --task")
    check_file(chosen.out, name="OUT") if one else check_folder(chosen.out, name="OUT")
    if chosen.count * chosen.size**2 > MAX_PIXELS:
        raise UsageError(
            f"--count {chosen.count} examples of --size {chosen.size} make too large a sheet: at "
            f"that size at most {MAX_PIXELS // chosen.size**2}"
        )
    config = _config(chosen, SHOWN)
    photographs = None if config.world else build_photographs(config)
    tasks = tasks_with(photographs)
    _check_task(chosen, tasks)
    packed = load_world(config) if config.world else None
    vocabulary = packed.vocabulary if packed else recipe_vocabulary(config)
    for name in [chosen.task] if chosen.task else tasks:
        task = tasks[name]()
        if not (chosen.task or drawable(task, vocabulary)):
            print(f"{name} has no sheet: the world has no {task.needs}", file=sys.stderr)
            continue
        rngs = (scene_rng(config.seed, index) for index in range(chosen.count))
        examples = [task.example(rng, vocabulary) for rng in rngs]
        atlas = packed.atlas if packed else Atlas.build(pairs_of(examples), side=SIDE)
        path = chosen.out if one else chosen.out / f"{name}.png"
        save_png(path, task_sheet(examples, atlas, size=config.size, photographs=photographs))
        print(path)


def check_command(chosen: argparse.Namespace) -> None:
    """Reads shards and writes what it found; faults are an error."""
    from instruct_imagen.data.shards.checking import check_shards
    from instruct_imagen.data.shards.layout import ShardError

    report = check_shards(chosen.folder)
    for line in report_lines(report):
        print(line)
    if report.faults:
        count = "1 fault" if report.faults == 1 else f"{report.faults:,} faults"
        raise ShardError(f"{chosen.folder} has {count}, named above as far as there is room")


def report_lines(report: Report) -> list[str]:
    """The counts as a table, and the first faults."""
    many = {
        name: ", ".join(f"{k}: {n:,}" for k, n in sorted(counts.references.items()))
        for name, counts in report.tasks.items()
    }
    wide = max(len("references"), *map(len, many.values())) if many else 0
    lines = [
        f"{_counted(report.examples, report.shards)}, every image decoded",
        f"{'task':20s} {'examples':>9s} {'share':>7s}  {'references':{wide}s}  words of a caption",
    ]
    for name, counts in report.tasks.items():
        lengths = sorted(counts.words.elements())
        least, middle, most = lengths[0], lengths[len(lengths) // 2], lengths[-1]
        lines.append(
            f"{name:20s} {counts.examples:9,} {counts.examples / report.examples:7.1%}  "
            f"{many[name]:{wide}s}  {least} to {most}, median {middle}"
        )
    lines.append(f"faults: {report.faults:,}")
    lines.extend(f"  {fault}" for fault in report.first)
    return lines


def _counted(examples: int, shards: int) -> str:
    """E.g. ``"1 example in 1 shard"``."""
    return (
        f"{examples:,} example{'' if examples == 1 else 's'} in "
        f"{shards:,} shard{'' if shards == 1 else 's'}"
    )


def _check_task(chosen: argparse.Namespace, known: Collection[str]) -> None:
    """Raises unless `known` has the task that was named, if one was."""
    from instruct_imagen.data.tasks.my_subject import MySubject

    if not chosen.task or chosen.task in known:
        return
    if chosen.task == MySubject.name:
        raise UsageError(
            f"{chosen.task} is made of images of your own: add "
            "--recipe my_subject folder=my_images subject='clay dog'"
        )
    raise UsageError(f"unknown task '{chosen.task}': use one of {', '.join(sorted(known))}")


def _config(chosen: argparse.Namespace, known: Sequence[str]) -> TrainConfig:
    """The recipe with what changes its examples."""
    from instruct_imagen.recipes import override, recipe

    for setting in chosen.settings:
        key = setting.partition("=")[0]
        if key in ("size", "seed"):
            raise UsageError(f"{setting} is --{key} here")
        if key not in known:
            raise UsageError(f"'{setting}' changes no example: use one of {', '.join(known)}")
    given: Sequence[str] = [*chosen.settings, f"size={chosen.size}", f"seed={chosen.seed}"]
    return override(recipe(chosen.recipe), given)


def _ratios(config: TrainConfig, task: str | None) -> Mapping[str, float]:
    """Of the last stage, or one task alone."""
    return {task: 1.0} if task else config.stages[-1].ratios
