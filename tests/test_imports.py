"""Who may import whom (docs: the import arrows of the design), read from the source, not run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "instruct_imagen"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE

# (who, must never import directly or through our other modules, why)
FORBIDDEN = [
    ("instruction", ("",), "the instruction format stands alone"),
    ("reference_image", ("",), "the instruction format stands alone"),
    ("instruction_errors", ("",), "the instruction format stands alone"),
    ("images", ("",), "the image decoder stands alone"),
    ("model", ("diffusion",), "the network knows nothing of noise"),
    ("diffusion", ("model",), "the objective knows nothing of the network"),
    (
        "data",
        ("model", "diffusion", "training", "pipeline"),
        "data is made without a model; embedding functions are passed in",
    ),
    (
        "evaluation",
        ("model", "diffusion", "training"),
        "evaluation sees the pipeline's interface only",
    ),
    ("serving", ("model", "diffusion", "training"), "serving sees the pipeline's interface only"),
]
# A rule holds through other modules too, except through these: they are the interface itself.
INTERFACES = {
    "evaluation": ("pipeline", "super_resolution"),
    "serving": ("pipeline", "super_resolution"),
}
# What a part that stands alone may import all the same: its own other files.
OWN_FILES = {
    "instruction": ("reference_image", "instruction_errors"),
    "reference_image": ("instruction_errors",),
}
# The only modules that may import both the network and the objective: what trains and what samples
# (drafts sample inside of training). The package's own __init__ only lists public names.
JOINS = ("training.step", "training.drafts", "pipeline", "super_resolution", "")


def modules_in(source: Path) -> dict[str, Path]:
    """Dotted name below the package ("" for its __init__) -> file."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(name: str, path: Path, modules: dict[str, Path]) -> set[str]:
    """Our modules that a module names in any import: at the top, in a function, for types only."""
    inside = name if path.name == "__init__.py" else name.rpartition(".")[0]
    targets: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        targets.update(target for target in _named(node, inside, modules) if target is not None)
    return targets - {name}


def _named(node: ast.AST, inside: str, modules: dict[str, Path]) -> Iterator[str | None]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield _ours(alias.name, modules)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = [PACKAGE, *(part for part in inside.split(".") if part)]
            parts = parts[: len(parts) - node.level + 1]
            base = ".".join([*parts, *([node.module] if node.module else [])])
        for alias in node.names:  # `from package import x`: x is a module or a name in one
            submodule = _ours(f"{base}.{alias.name}", modules)
            yield submodule if submodule in modules else _ours(base, modules)
    elif isinstance(node, ast.Call):  # import_module("..."), __import__("...")
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        literal = node.args[0] if node.args else None
        if (
            called in ("import_module", "__import__")
            and isinstance(literal, ast.Constant)
            and isinstance(literal.value, str)
        ):
            yield _ours(literal.value, modules)


def _ours(dotted: str, modules: dict[str, Path]) -> str | None:
    """The longest module or folder of ours that a dotted name begins with; None if not ours."""
    first, _, rest = dotted.partition(".")
    if first != PACKAGE:
        return None
    while rest and not any(belongs(name, rest) for name in modules):
        rest = rest.rpartition(".")[0]
    return rest


def belongs(name: str, part: str) -> bool:
    """Whether a module is, or lies in, a part; the part "" holds everything."""
    return part == "" or name == part or name.startswith(f"{part}.")


def problems_in(source: Path) -> list[str]:
    """Every import that breaks an arrow, as one line each."""
    modules = modules_in(source)
    graph = {name: imports_of(name, path, modules) for name, path in modules.items()}
    found = []
    for name in modules:
        for part, banned, why in FORBIDDEN:
            if not belongs(name, part):
                continue
            for way in _ways(name, graph, stop=INTERFACES.get(part, ())):
                if way[-1] in OWN_FILES.get(part, ()):
                    continue
                if any(belongs(way[-1], target) for target in banned):
                    found.append(f"{' -> '.join(_shown(step) for step in way)}: {why}")
        if name not in JOINS:
            both = [any(belongs(t, part) for t in graph[name]) for part in ("model", "diffusion")]
            if all(both):
                found.append(f"{_shown(name)} joins model and diffusion; only {JOINS[:3]} may")
    return found


def _ways(start: str, graph: dict[str, set[str]], stop: tuple[str, ...]) -> Iterator[list[str]]:
    """A shortest chain of imports to every module that a module reaches."""
    seen, waiting = {start}, [[start]]
    while waiting:
        way = waiting.pop(0)
        for target in sorted(graph.get(way[-1], ())):
            if target not in seen:
                seen.add(target)
                yield [*way, target]
                if not any(belongs(target, part) for part in stop):
                    waiting.append([*way, target])


def _shown(name: str) -> str:
    return f"{PACKAGE}.{name}".rstrip(".")


# -- The rules, on our source ----------------------------------------------------------------------


def test_the_import_arrows_hold():
    assert problems_in(SOURCE) == []


def test_the_parts_that_the_arrows_name_are_there():
    found = modules_in(SOURCE)
    for part in ("instruction", "images", "model", "diffusion", "data"):
        assert any(belongs(name, part) for name in found), part


# -- The checker itself, on small trees ------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "guilty"),
    [
        ({"model/a.py": "import torch", "diffusion/b.py": "import math"}, []),
        ({"training/step.py": "from instruct_imagen.model import a\n"
          "from instruct_imagen.diffusion import b"}, []),
        ({"pipeline.py": "from .model.a import x\nfrom .diffusion.b import y"}, []),
        ({"training/loop.py": "from instruct_imagen.training.step import f"}, []),
        ({"__init__.py": "from .model.a import x\nfrom .diffusion.b import y"}, []),
        ({"evaluation/e.py": "from ..pipeline import run", "pipeline.py": "from .model import a"},
         []),
        ({"training/loop.py": "from ..model import a\nfrom ..diffusion import b"},
         ["training.loop joins"]),
        ({"model/a.py": "from instruct_imagen.diffusion.b import x"}, ["model.a -> "]),
        ({"model/a.py": "import instruct_imagen.diffusion.b as b"}, ["model.a -> "]),
        ({"model/a.py": "from .. import diffusion"}, ["model.a -> "]),
        ({"model/a.py": "from ..diffusion import b"}, ["model.a -> "]),
        ({"model/a.py": "def f():\n    from ..diffusion import b"}, ["model.a -> "]),
        ({"model/a.py": "if TYPE_CHECKING:\n    from ..diffusion.b import x"}, ["model.a -> "]),
        ({"model/a.py": "importlib.import_module('instruct_imagen.diffusion.b')"},
         ["model.a -> "]),
        ({"diffusion/b.py": "from instruct_imagen.model.a import x"}, ["diffusion.b -> "]),
        ({"data/d.py": "from instruct_imagen import pipeline", "pipeline.py": ""}, ["data.d -> "]),
        ({"data/tasks/t.py": "from ...model.a import x"}, ["data.tasks.t -> "]),
        ({"data/tasks/t.py": "from ...helper import x", "helper.py": "from .model import a"},
         ["data.tasks.t -> instruct_imagen.helper -> instruct_imagen.model.a"]),
        ({"images.py": "from instruct_imagen.instruction import x", "instruction.py": ""},
         ["images -> "]),
        ({"instruction.py": "from . import images", "images.py": ""}, ["instruction -> "]),
        ({"instruction.py": "from instruct_imagen import anything"}, ["instruction -> "]),
        ({"serving/s.py": "from ..model.a import x"}, ["serving.s -> "]),
        ({"evaluation/e.py": "from ..training import step", "training/step.py": ""},
         ["evaluation.e -> "]),
    ],
)  # fmt: skip
def test_the_checker_finds_what_it_should_and_nothing_else(tmp_path, files, guilty):
    base = {"__init__.py": "", "model/__init__.py": "", "model/a.py": "",
            "diffusion/__init__.py": "", "diffusion/b.py": "", "data/__init__.py": ""}  # fmt: skip
    for name, text in {**base, **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = problems_in(tmp_path)
    assert len(found) == len(guilty), found
    for line, start in zip(found, guilty, strict=True):
        assert line.startswith(f"{PACKAGE}.{start}")
