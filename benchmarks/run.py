"""Speed and memory of the starter on this machine: prints a table, writes out/bench.json.

Every comparison is made in one run with its sides interleaved; figures are medians with the lower
and upper quartile. Run it with `make bench`; nothing else should be running.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from instruct_imagen import InstructImagenPipeline, Instruction, Reference
from instruct_imagen.recipes import override, recipe
from instruct_imagen.training.card import code_commit, machine_name
from instruct_imagen.training.loop import Trainer
from instruct_imagen.training.speed import convolution_rate, product_rate, seconds

STEPS = 20


def spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return {"median": middle, "low": low, "high": high}


def instruction(count: int, size: int) -> Instruction:
    """An instruction with `count` references."""
    generator = torch.Generator().manual_seed(count)
    pixels = torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator)
    names = ["the [ref#1] dog", "the style of [ref#2]", "the edge map [ref#3]"][:count]
    return Instruction(
        "A picture of " + (", ".join(names) or "a dog") + ".",
        tuple(
            Reference(k + 1, pixels[k].numpy(), text)
            for k, text in enumerate(["dog", "style image", "edge map"][:count])
        ),
    )


def sampling(repeats: int) -> dict[str, Any]:
    """Whole images at 20 steps with 0 to 3 references, cached and encoded anew at each step."""
    pipeline = InstructImagenPipeline.from_pretrained("starter")
    pipeline.set_progress_bar_config(disable=True)
    cases = [(count, anew) for anew in (False, True) for count in range(4) if count or not anew]
    times: dict[tuple[int, bool], list[float]] = {case: [] for case in cases}
    for round_number in range(repeats + 1):
        for count, anew in cases:
            one = instruction(count, pipeline.size)
            taken = seconds(
                lambda one=one, anew=anew: pipeline(
                    one,
                    num_inference_steps=STEPS,
                    generator=torch.Generator().manual_seed(0),
                    reencode_each_step=anew,
                )
            )
            if round_number:  # the first round warms up
                times[count, anew].append(taken)
    base = statistics.median(times[0, False])
    return {
        f"{count} references, {'encoded each step' if anew else 'encoded once'}": {
            **spread(values),
            "ratio_to_none": statistics.median(values) / base,
        }
        for (count, anew), values in times.items()
    }


def per_step(repeats: int) -> dict[str, Any]:
    """One guided denoising step with cached references, against none."""
    pipeline = InstructImagenPipeline.from_pretrained("starter")
    denoisers = {}
    for count in range(4):
        one = [instruction(count, pipeline.size)]
        references = pipeline._references(one)
        denoisers[count] = pipeline._denoiser(one, references, True)[0]
    sample, step = torch.randn(1, 3, pipeline.size, pipeline.size), torch.tensor(500)
    times: dict[int, list[float]] = {count: [] for count in denoisers}
    with torch.no_grad():
        for round_number in range(repeats * 5 + 3):
            for count, denoise in denoisers.items():
                taken = seconds(lambda d=denoise: d(sample, step, 3.0))
                if round_number >= 3:
                    times[count].append(taken)
    base = statistics.median(times[0])
    return {
        f"step with {count} cached references": {
            **spread(values),
            "ratio_to_none": statistics.median(values) / base,
        }
        for count, values in times.items()
    }


def peak_memory() -> dict[str, float]:
    """Peak resident MB of a fresh process that draws one image, for 0 to 3 references."""
    found = {}
    for count in range(4):
        script = (
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            "import run, resource\n"
            "p = run.InstructImagenPipeline.from_pretrained('starter')\n"
            f"p(run.instruction({count}, p.size), num_inference_steps={STEPS})\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        found[f"{count} references"] = float(done.stdout.strip().splitlines()[-1])
    return found


def training(steps: int, folder: Path) -> dict[str, Any]:
    """Images/s of stage 2, the share of a step that data takes, and its work.

    The work is that of the network, without the optimizer's and the text encoder's.
    """
    trainer = Trainer(override(recipe("starter"), [f"out={folder}"]))
    size = trainer.config.batch_size
    trainer.stage = len(trainer.config.stages) - 1
    trainer.begin_stage()
    trainer.step()  # which encodes the texts of the next one too
    gflop = trainer.backward.work
    trainer.record.window.clear()
    for _ in range(steps):
        trainer.step()
    window = trainer.record.window
    # Means, not medians: one step in several encodes the texts of all of them.
    step, rendering, text = (
        statistics.mean(window[name]) for name in ("step_s", "render_s", "text_s")
    )
    return {
        "images_per_s": size / step,
        "step_s": spread(window["step_s"]),
        "share_rendering": rendering / step,
        "share_text": text / step,
        "gflop_an_image": gflop / size,
        "gflops": gflop / step,
        "precision": trainer.config.precision,
        "parameters": trainer.parameter_count,
    }


def main() -> None:
    """Measures everything."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeats", type=int, default=8)
    arguments.add_argument("--steps", type=int, default=48, help="training steps")
    arguments.add_argument("--out", type=Path, default=Path("out/bench.json"))
    chosen = arguments.parse_args()
    if chosen.repeats < 2 or chosen.steps < 2:
        arguments.error("--repeats and --steps must be at least 2: a spread needs two figures")
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16}
    figures: dict[str, Any] = {
        "commit": code_commit(),
        "machine": machine_name("cpu"),
        "rates_gflops": {
            name: {"conv": convolution_rate(dtype), "gemm": product_rate(dtype)}
            for name, dtype in dtypes.items()
        },
        "per_step": per_step(chosen.repeats),
        "sampling": sampling(chosen.repeats),
        "training": training(chosen.steps, chosen.out.parent / "bench-run"),
        "peak_mb": peak_memory(),
    }
    row = figures["training"]
    row["share_of_conv_rate"] = row["gflops"] / figures["rates_gflops"][row["precision"]]["conv"]
    figures["own_peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(figures, indent=1) + "\n")
    show(figures)


def show(figures: dict[str, Any]) -> None:
    """Prints the table."""
    for part in ("per_step", "sampling"):
        for name, row in figures[part].items():
            print(
                f"{name:44s} {row['median'] * 1e3:8.1f} ms "
                f"[{row['low'] * 1e3:.1f}, {row['high'] * 1e3:.1f}]   × {row['ratio_to_none']:.2f}"
            )
    for name, value in figures["peak_mb"].items():
        print(f"{'peak memory, ' + name:44s} {value:8.0f} MB")
    row = figures["training"]
    print(f"{'training':44s} {row['images_per_s']:8.1f} images/s")
    shares = f"{row['share_rendering']:8.1%} {row['share_text']:.1%}"
    print(f"{'  rendering, text':44s} {shares} of a step")
    print(
        f"{'  work':44s} {row['gflop_an_image']:8.2f} GFLOP an image, {row['gflops']:.0f} GFLOP/s, "
        f"{row['share_of_conv_rate']:.0%} of this machine's {row['precision']} convolution rate"
    )
    for name, rates in figures["rates_gflops"].items():
        print(
            f"{'machine, ' + name:44s} conv {rates['conv']:.0f}, gemm {rates['gemm']:.0f} GFLOP/s"
        )
    print(f"{'machine':44s} {figures['machine']}, commit {figures['commit']}")


if __name__ == "__main__":
    main()
