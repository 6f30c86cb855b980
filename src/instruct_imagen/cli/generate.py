"""`instruct-imagen generate`: an instruction becomes images."""

from __future__ import annotations

import argparse
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from instruct_imagen.cli.errors import UsageError
from instruct_imagen.instruction import ROLES, Instruction, InstructionError, Reference

if TYPE_CHECKING:
    from instruct_imagen.pipeline import InstructImagenPipeline

EXAMPLES = """examples:
  instruct-imagen generate "A fox on a green background."
  instruct-imagen generate "Draw the [ref#1] dog in the style of [ref#2]: a dog on a beach." \\
      --ref "dog=dog.png" --ref "style image=style.png" --role 1=subject --role 2=style
  instruct-imagen generate --instruction instruction.json --count 4 --out out/dog.png
Two pictures of one subject share a marker: --ref "1:dog=front.png" --ref "1:dog=side.png"
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    own = commands.add_parser(
        "generate",
        help="make images from an instruction",
        description="Makes images from a text with [ref#k] markers and the references they name.",
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
        help=f"what [ref#K] is for, as a note (words and image decide): {', '.join(ROLES)}",
    )
    own.add_argument("--model", default="starter", help="starter, or a saved pipeline's folder")
    own.add_argument(
        "--seed", type=_seed, default=0, help="of the first image; the next has seed + 1"
    )
    own.add_argument("--steps", type=_positive, default=25, help="sampling steps (25)")
    own.add_argument("--guidance", type=float, default=3.0, help="guidance weight, 1 is none (3)")
    own.add_argument(
        "--guidance-kind",
        default="constant",
        choices=("constant", "oscillating", "interval"),
        help="when guidance is on (constant)",
    )
    own.add_argument("--count", type=_positive, default=1, help="how many images (1)")
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
        raise UsageError(f"--guidance must be at least 1 (1 is none), not {chosen.guidance:g}")
    if chosen.out.suffix.lower() != ".png":
        raise UsageError(f"--out must name a .png file, not '{chosen.out}'")
    instruction = read_instruction(chosen)
    with warnings.catch_warnings(action="ignore"):  # the pipeline checks, and warns, again
        instruction.check(strict=chosen.strict)
    pipeline = load_pipeline(chosen.model)
    seeds = range(chosen.seed, chosen.seed + chosen.count)
    output = pipeline(
        [instruction] * chosen.count,
        num_inference_steps=chosen.steps,
        guidance_scale=chosen.guidance,
        guidance=chosen.guidance_kind,
        generator=[torch.Generator().manual_seed(seed) for seed in seeds],
    )
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(output.images, start=1):
        name = chosen.out.name if chosen.count == 1 else f"{chosen.out.stem}-{number}.png"
        save_png(chosen.out.with_name(name), image)
        print(chosen.out.with_name(name))


def load_pipeline(model: str) -> InstructImagenPipeline:
    """A pipeline by name or folder.

    Raises:
        UsageError: There is none.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    from instruct_imagen.pipeline import WEIGHTS, InstructImagenPipeline, local_model

    transformers_logging.disable_progress_bar()
    diffusers_logging.disable_progress_bar()
    if local_model(model) is None:
        known = sorted(path.parent.name for path in WEIGHTS.glob("*/model_index.json"))
        raise UsageError(
            f"there is no model '{model}': name a folder with a model_index.json, or one of "
            f"{', '.join(known) or '(none is installed)'}"
        )
    return InstructImagenPipeline.from_pretrained(model)


def read_instruction(chosen: argparse.Namespace) -> Instruction:
    """The instruction that the arguments describe."""
    if (chosen.text is None) == (chosen.instruction is None):
        raise UsageError("give either TEXT or --instruction FILE (see generate --help)")
    if chosen.instruction is not None:
        if chosen.ref or chosen.role:
            raise UsageError("--ref and --role belong to TEXT: put them into the JSON file")
        return Instruction.from_json(chosen.instruction)
    roles = _roles(chosen.role)
    unused = set(roles)
    references = []
    for number, given in enumerate(chosen.ref, start=1):
        found = re.fullmatch(r"(?:([0-9]{1,9}):)?([^=]+)=(.+)", given)
        if not found:
            raise UsageError(f"--ref '{given}' must be TEXT=FILE, e.g. --ref 'dog=dog.png'")
        marker = int(found[1] or number)
        try:
            reference = Reference(marker, found[3], found[2].strip(), roles.get(marker))
        except InstructionError as error:
            raise UsageError(f"--ref '{given}': {error}") from error
        references.append(reference)
        unused.discard(marker)
    if unused:
        raise UsageError(f"--role names [ref#{min(unused)}], which no --ref gives")
    return Instruction(chosen.text, tuple(references))


def _roles(given: list[str]) -> dict[int, str]:
    roles = {}
    for pair in given:
        number, sign, role = pair.partition("=")
        if not sign or not _is_number(number) or role not in ROLES:
            raise UsageError(f"--role '{pair}' must be K=ROLE with ROLE one of {', '.join(ROLES)}")
        if int(number) in roles:
            raise UsageError(f"--role {number}=… is there twice: keep one")
        roles[int(number)] = role
    return roles


def _is_number(text: str) -> bool:
    """True for plain digits, few enough to be a count or a marker ("²" is a digit to Python)."""
    return text.isascii() and text.isdigit() and len(text) < 10


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2^63 - 1, not '{text}'")
    return int(text)


def _positive(text: str) -> int:
    if not _is_number(text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not '{text}'")
    return int(text)
