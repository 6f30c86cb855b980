"""`instruct-imagen generate`: an instruction becomes images."""

from __future__ import annotations

import argparse
import re
import warnings
from pathlib import Path

from instruct_imagen.cli.arguments import check_file, is_number, positive, seed, share
from instruct_imagen.cli.errors import UsageError
from instruct_imagen.cli.models import add_models, load_cascade
from instruct_imagen.editing import MOST_SEAM, SEAM, THRESHOLD, UPSCALER_STEPS
from instruct_imagen.instruction import (
    ROLES,
    Instruction,
    InstructionError,
    Reference,
    markers_in,
)

MAX_STEPS = 1000
"""As many as the noise levels of training."""
MAX_COUNT = 1000
BATCH = 16
"""Images that are drawn at once."""
MAX_UPSCALER_STEPS = 750
"""As many as the noise levels that an upscaler is trained with."""

# As training has them (data/tasks/templates/masked_edit.txt, instruction_edit.txt).
_EDITED = {"source": "source image", "mask": "mask"}
_WHERE = (" in [ref#1].", " in [ref#1], inside the mask [ref#2].")
_WHICH = (" The picture is [ref#1].", " The picture is [ref#1], and the mask is [ref#2].")

EXAMPLES = """examples:
  instruct-imagen generate "A fox on a green background."
  instruct-imagen generate "Draw the [ref#1] dog in the style of [ref#2]: a dog on a beach." \\
      --ref "dog=dog.png" --ref "style image=style.png" --role 1=subject --role 2=style
  instruct-imagen generate --instruction instruction.json --count 4 --out out/dog.png
  instruct-imagen generate "Remove the dog." --source photo.png --mask mask.png
  instruct-imagen generate "Replace the dog in [ref#1] with [ref#2]." --source photo.png \\
      --ref "cat=cat.png"
An edit has --source as [ref#1] and --mask, where there is one, as [ref#2]; a TEXT without markers
gets them. The result has the size of --source, and every pixel that is black in --mask is kept.
Two pictures of one subject share a marker: --ref "1:dog=front.png" --ref "1:dog=side.png"
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    own = commands.add_parser(
        "generate",
        help="make images from an instruction",
        description=(
            "Makes images from a text with [ref#k] markers and the references they name, or edits "
            "a picture of your own. What is made is as large as the upscaler makes it, or without "
            "one as the model draws: 32 pixels with starter."
        ),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    own.add_argument("text", nargs="?", metavar="TEXT", help="what to draw, with markers [ref#1] …")
    own.add_argument("--instruction", metavar="FILE", help="a JSON instruction instead of TEXT")
    own.add_argument(
        "--ref",
        action="append",
        default=[],
        metavar="[K:]TEXT=FILE",
        help="a reference: short text and image; the first is [ref#1], the next [ref#2], …",
    )
    own.add_argument(
        "--role",
        action="append",
        default=[],
        metavar="K=ROLE",
        help=f"what [ref#K] is for: {', '.join(ROLES)}; source makes it an edit, else it is a note",
    )
    own.add_argument("--source", metavar="FILE", help="a picture to edit: [ref#1]")
    own.add_argument(
        "--mask", metavar="FILE", help="what of it may change, in white; of the same size: [ref#2]"
    )
    own.add_argument(
        "--threshold",
        type=share,
        help=f"without --mask: smallest difference that is kept, 0 to 1 ({THRESHOLD:g})",
    )
    own.add_argument(
        "--seam",
        type=share,
        help=f"of an edit: where old and new mix, share of the square that is drawn ({SEAM:g})",
    )
    add_models(own)
    own.add_argument(
        "--upscaler-steps", type=positive, help=f"its sampling steps ({UPSCALER_STEPS})"
    )
    own.add_argument(
        "--seed", type=seed, default=0, help="of the first image; the next has seed + 1 (0)"
    )
    own.add_argument("--steps", type=positive, default=25, help="sampling steps of the model (25)")
    own.add_argument("--guidance", type=float, default=3.0, help="guidance weight, 1 is none (3)")
    own.add_argument(
        "--guidance-kind",
        default="constant",
        choices=("constant", "oscillating", "interval"),
        help="when guidance is on (constant)",
    )
    own.add_argument("--count", type=positive, default=1, help="how many images (1)")
    own.add_argument("--strict", action="store_true", help="refuse references never mentioned")
    own.add_argument(
        "--out",
        type=Path,
        default=Path("out/image.png"),
        help="PNG to write; several become image-1.png, image-2.png, … (out/image.png)",
    )
    own.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Generates and writes the images, and prints their paths."""
    import torch

    from instruct_imagen.images import save_png

    if not 1 <= chosen.guidance < float("inf"):
        raise UsageError(
            f"--guidance must be a number of at least 1 (1 is none), not {chosen.guidance:g}"
        )
    if chosen.steps > MAX_STEPS:
        raise UsageError(f"--steps must be at most {MAX_STEPS}, not {chosen.steps}")
    if (chosen.upscaler_steps or 0) > MAX_UPSCALER_STEPS:
        raise UsageError(
            f"--upscaler-steps must be at most {MAX_UPSCALER_STEPS}, not {chosen.upscaler_steps}"
        )
    if chosen.count > MAX_COUNT:
        raise UsageError(f"--count must be at most {MAX_COUNT}, not {chosen.count}")
    for number in range(chosen.count):
        check_file(_numbered(chosen.out, number, chosen.count), suffix=".png")
    instruction = read_instruction(chosen)
    with warnings.catch_warnings(action="ignore"):  # the pipeline checks, and warns, again
        instruction.check(strict=chosen.strict)
    cascade = load_cascade(chosen.model, chosen.upscaler)
    options = _edit_options(chosen, instruction)
    if chosen.upscaler_steps is not None:
        if cascade.upscaler is None:
            raise UsageError("--upscaler-steps needs an upscaler: name one with --upscaler")
        options["upscaler_steps"] = chosen.upscaler_steps
    cascade.set_progress_bar_config(disable=None)  # none where no terminal shows it
    for start in range(0, chosen.count, BATCH):
        numbers = range(start, min(start + BATCH, chosen.count))
        output = cascade(
            [instruction] * len(numbers),
            num_inference_steps=chosen.steps,
            guidance_scale=chosen.guidance,
            guidance=chosen.guidance_kind,
            generator=[torch.Generator().manual_seed(chosen.seed + n) for n in numbers],
            **options,
        )
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        for number, image in zip(numbers, output.images, strict=True):
            path = _numbered(chosen.out, number, chosen.count)
            save_png(path, image)
            print(path)


def _edit_options(chosen: argparse.Namespace, instruction: Instruction) -> dict[str, float]:
    """What the arguments say of edits.

    Raises:
        UsageError: Nothing is edited, or a mask already says what may change.
    """
    found = {name: getattr(chosen, name) for name in ("threshold", "seam")}
    given = {name: value for name, value in found.items() if value is not None}
    roles = {reference.role for reference in instruction.references}
    if given and "source" not in roles:
        raise UsageError(f"--{next(iter(given))} is for edits: name a picture with --source")
    if "threshold" in given and "mask" in roles:
        raise UsageError("--threshold is for edits without a mask: the mask says what may change")
    if given.get("seam", 0) > MOST_SEAM:
        raise UsageError(f"--seam must be at most {MOST_SEAM:g}, not {given['seam']:g}")
    return given


def _numbered(out: Path, number: int, count: int) -> Path:
    """Where image `number`, from 0, of `count` goes."""
    return out if count == 1 else out.with_name(f"{out.stem}-{number + 1}.png")


def read_instruction(chosen: argparse.Namespace) -> Instruction:
    """The instruction that the arguments describe."""
    if (chosen.text is None) == (chosen.instruction is None):
        raise UsageError("give either TEXT or --instruction FILE (see generate --help)")
    if chosen.instruction is not None:
        if chosen.ref or chosen.role or chosen.source is not None or chosen.mask is not None:
            raise UsageError(
                "--ref, --role, --source and --mask belong to TEXT: put them into the JSON file"
            )
        return Instruction.from_json(chosen.instruction)
    if chosen.mask is not None and chosen.source is None:
        raise UsageError("--mask says what may change of a picture: name it with --source")
    edited = [
        Reference(marker, file, text, role)
        for marker, (role, text) in enumerate(_EDITED.items(), start=1)
        if (file := getattr(chosen, role)) is not None
    ]
    text = chosen.text
    if edited and text.strip() and not markers_in(text):
        text = text.strip()
        asked = text[-1] in "?!"
        text = text.rstrip(".") + (_WHICH if asked else _WHERE)[len(edited) - 1]
    roles = _roles(chosen.role)
    unused = set(roles)
    references = []
    for number, given in enumerate(chosen.ref, start=len(edited) + 1):
        found = re.fullmatch(r"(?:([0-9]{1,9}):)?([^=]+)=(.+)", given)
        if not found:
            raise UsageError(f"--ref '{given}' must be TEXT=FILE, e.g. --ref 'dog=dog.png'")
        marker = int(found[1] or number)
        if marker <= len(edited):
            raise UsageError(
                f"--ref '{given}': [ref#{marker}] is {'the mask' if marker == 2 else '--source'}"
            )
        try:
            reference = Reference(marker, found[3], found[2].strip(), roles.get(marker))
        except InstructionError as error:
            raise UsageError(f"--ref '{given}': {error}") from error
        references.append(reference)
        unused.discard(marker)
    if unused:
        raise UsageError(f"--role names [ref#{min(unused)}], which no --ref gives")
    return Instruction(text, (*edited, *references))


def _roles(given: list[str]) -> dict[int, str]:
    roles = {}
    for pair in given:
        number, sign, role = pair.partition("=")
        if not sign or not is_number(number) or role not in ROLES:
            raise UsageError(f"--role '{pair}' must be K=ROLE with ROLE one of {', '.join(ROLES)}")
        if int(number) in roles:
            raise UsageError(f"--role {number}=… is there twice: keep one")
        roles[int(number)] = role
    return roles
