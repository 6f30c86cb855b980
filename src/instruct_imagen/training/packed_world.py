"""A recipe's world and text encoder as one file, for training where nothing can be installed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers import AutoTokenizer

from instruct_imagen.data.photographs import Photographs
from instruct_imagen.data.shards.index import ShardIndex
from instruct_imagen.data.tasks.base import Task, drawable
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.world.atlas import Atlas, Pair
from instruct_imagen.data.world.captions import WORDS
from instruct_imagen.data.world.faces import FACE_STYLES, is_held_out
from instruct_imagen.data.world.holdout import holdout, named_like_heldout
from instruct_imagen.data.world.nouns import plural
from instruct_imagen.data.world.palette import PALETTE
from instruct_imagen.data.world.places import PLACES, place_phrases
from instruct_imagen.data.world.scenes import scene_rng
from instruct_imagen.data.world.sources import STYLES
from instruct_imagen.data.world.vocabulary import MISDRAWN, Face, Vocabulary
from instruct_imagen.model.text import TextEncoder, starter_encoder_folder
from instruct_imagen.recipes.config import RecipeError, TrainConfig, draws_from_shards
from instruct_imagen.training.build import (
    build_photographs,
    build_world,
    recipe_variety,
    tasks_with,
)
from instruct_imagen.training.shards import check_stages, fingerprint, open_shards

_EMBEDDINGS = "embeddings.word_embeddings.weight"
_TOKENIZER_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
_SETTINGS = "world.json"
_PACKED_FILES = ("atlas.npz", _SETTINGS, "model.safetensors", *_TOKENIZER_FILES)
_SAMPLED_TEXTS = 20_000
# What reading a damaged archive, or what was in it, raises.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, RuntimeError, SafetensorError,
)  # fmt: skip
LARGEST = 40_000_000
"""Bytes of a packed world, which has to travel."""


@dataclass(frozen=True, kw_only=True)
class World:
    """All that training draws from.

    Attributes:
        atlas: Sprites at the recipe's size.
        vocabulary: Which of them training may draw (all).
        encoder: The text encoder; a packed one does not know words that the world never uses.
        photographs: The user's own, where the recipe draws from them.
        shards: Stored examples, where the recipe trains on them.
        drawn: Whether a stage draws from the world itself; else only its sample sheets show it.
    """

    atlas: Atlas
    vocabulary: Vocabulary
    encoder: TextEncoder
    photographs: Photographs | None = None
    shards: tuple[ShardIndex, ...] = ()
    drawn: bool = True

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of the user's photographs and captions, the shards and what is drawn; empty without any.

        Of what is drawn, by concept, style and person: a machine that lacks a source has less.
        """
        own = self.photographs.sha256 if self.photographs is not None else ""
        drawn = vocabulary_fingerprint(self.vocabulary) if self.drawn else ""
        return {"photographs": own, "shards": fingerprint(self.shards), "vocabulary": drawn}

    @property
    def tasks(self) -> Mapping[str, Callable[[], Task]]:
        """What makes each task that can be drawn from it, by name."""
        return tasks_with(self.photographs)


def vocabulary_fingerprint(vocabulary: Vocabulary) -> str:
    """Of what may be drawn, in its order, which draws depend on."""
    drawn = [*vocabulary.pairs, *(face.pair for face in vocabulary.faces)]
    return hashlib.sha256(json.dumps(drawn).encode()).hexdigest()


def pack_world(config: TrainConfig, path: Path) -> Path:
    """Writes sprites at the recipe's size and the starter text encoder in half precision.

    Embeddings of words that no text of the world uses become zero, which a zip file stores in
    almost nothing; what the world does say is encoded as before, to half precision.
    """
    vocabulary, atlas = build_world(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        folder = Path(name)
        atlas.pack(folder / "atlas.npz", side=_side(atlas.side, config.size))
        (folder / _SETTINGS).write_text(json.dumps(_settings(config)) + "\n")
        source = starter_encoder_folder()
        for file in _TOKENIZER_FILES:
            shutil.copy(source / file, folder / file)
        encoder = TextEncoder(max_markers=config.max_markers)
        weights = {key: value.half() for key, value in encoder.encoder.state_dict().items()}
        used = torch.zeros(len(weights[_EMBEDDINGS]), 1, dtype=torch.float16)
        used[sorted(_used_tokens(config, vocabulary))] = 1
        weights[_EMBEDDINGS] = weights[_EMBEDDINGS] * used
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        packed = folder / "packed.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in _PACKED_FILES:
                archive.write(folder / file, file)
        if packed.stat().st_size > LARGEST:
            raise RecipeError(
                f"the packed world has {packed.stat().st_size / 1e6:.0f} MB, more than "
                f"{LARGEST / 1e6:.0f}: take fewer concepts or a smaller size"
            )
        os.replace(packed, path)
    return path


def _side(largest: int, size: int) -> int:
    """The smallest halving of the sprites that draws as the whole ones do.

    Edges are found at twice the size of the picture.
    """
    side = largest
    while side % 2 == 0 and side // 2 >= max(2 * size, 16):
        side //= 2
    return side


def _settings(config: TrainConfig) -> dict[str, Any]:
    """What a recipe must share with the world that was packed for it."""
    return {
        "size": config.size,
        "min_styles": config.min_styles,
        "concepts": config.concepts,
        "categories": list(config.categories),
        "sources": list(config.sources),
        "people": config.people,
        **dataclasses.asdict(recipe_variety(config)),
    }


def _used_tokens(config: TrainConfig, vocabulary: Vocabulary) -> set[int]:
    """Token ids of every word of the world's texts, drawn widely, and of all names.

    Plurals, colours and places are too rare to be met for certain.
    """
    tokenizer = AutoTokenizer.from_pretrained(starter_encoder_folder())
    ids = {*tokenizer.all_special_ids, *tokenizer("this")["input_ids"]}
    concepts = {*vocabulary.concepts, *(face.expression for face in vocabulary.faces)}
    words = {word for concept in concepts for word in re.split(r"\W+", concept)}
    for phrase in (
        *(name for concept in vocabulary.concepts if (name := plural(concept))),
        *PALETTE,
        *(phrase for place in PLACES for phrase in place_phrases(place)),
        *WORDS,
    ):
        words.update(phrase.split())
    for number, task in enumerate(all_tasks().values()):
        made = task()
        if not drawable(made, vocabulary):
            continue
        for index in range(_SAMPLED_TEXTS // len(all_tasks())):
            example = made.example(scene_rng(config.seed + number, index), vocabulary)
            words.update(example.text.split())
            for reference in example.references:
                words.update(reference.text.split())
    for encoded in tokenizer(sorted(words))["input_ids"]:
        ids.update(encoded)
    return ids


def load_world(config: TrainConfig) -> World:
    """The world of a recipe: from its packed file if it names one, else from the sources.

    Raises:
        WorldUnavailable: The artwork is not installed and cannot be.
        OSError: The packed file cannot be read.
        RecipeError: There is no such text encoder, or its states have another width.
        RecipeError, PhotographError, ImageError: See `build_photographs`.
        RecipeError, ShardError: See `open_shards` and `check_stages`.
    """
    photographs = build_photographs(config)
    shards = open_shards(config)
    stages = [one for one in config.stages if one.images]
    drawn = not shards or any(not draws_from_shards(config, one) for one in stages)
    # Autocast would cast a frozen encoder's weights anew at every call.
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    if config.world:
        packed = read_packed_world(Path(config.world), config, dtype=dtype)
        check_stages(config, packed.vocabulary, shards)
        return replace(packed, shards=shards, drawn=drawn)
    vocabulary, atlas = build_world(config)
    check_stages(config, vocabulary, shards)
    try:
        encoder = TextEncoder(config.text_encoder, max_markers=config.max_markers, dtype=dtype)
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"text_encoder={config.text_encoder} cannot be loaded ({str(error).splitlines()[0]}): "
            "name a folder, or a model that the hub has and this machine can reach"
        ) from error
    if encoder.width != config.text_dim:
        raise RecipeError(
            f"text_dim={config.text_dim}, but the states of {config.text_encoder} have "
            f"{encoder.width}: set text_dim={encoder.width}"
        )
    return World(
        atlas=atlas,
        vocabulary=vocabulary,
        encoder=encoder,
        photographs=photographs,
        shards=shards,
        drawn=drawn,
    )


def read_packed_world(path: Path, config: TrainConfig, *, dtype: torch.dtype) -> World:
    """Reads what `pack_world` wrote for this recipe; the text encoder computes in `dtype`.

    Raises:
        RecipeError: There is no such file, it is damaged or something else, was packed for other
            settings, or holds what must not be trained on.
    """
    folder = Path(tempfile.mkdtemp(prefix="instruct-imagen-world-"))
    try:
        with zipfile.ZipFile(path) as archive:
            for file in _PACKED_FILES:
                archive.extract(file, folder)
        atlas = Atlas.load(folder / "atlas.npz")
        settings = json.loads((folder / _SETTINGS).read_text())
        encoder = TextEncoder(max_markers=config.max_markers, folder=folder, dtype=dtype)
        given = {key: settings[key] for key in _settings(config)}
    except FileNotFoundError as error:
        raise RecipeError(f"world={path} does not exist: see instruct-imagen world pack") from error
    except _DAMAGE as error:
        cause = str(error).replace(str(folder), str(path))
        raise RecipeError(
            f"world={path} is no whole packed world ({cause}): make one with instruct-imagen "
            "world pack"
        ) from error
    finally:
        shutil.rmtree(folder)
    for key, value in _settings(config).items():
        if given[key] != value:
            raise RecipeError(
                f"{path} was packed with {key}={given[key]}, the recipe has {value}: "
                "pack it anew with the recipe's settings"
            )
    vocabulary = replace(_packed_vocabulary(atlas), variety=recipe_variety(config))
    for concept, style in _held_out(vocabulary):
        raise RecipeError(f"{path} holds the held-out {concept} ({style}): pack the world anew")
    return World(atlas=atlas, vocabulary=vocabulary, encoder=encoder)


def _packed_vocabulary(atlas: Atlas) -> Vocabulary:
    """What a packed atlas draws: things, and faces, whose pairs name person and expression."""
    things = tuple(pair for pair in atlas.pairs if pair[1] not in FACE_STYLES)
    faces = []
    for name, style in atlas.pairs:
        if style in FACE_STYLES:
            person, _, expression = name.rpartition("-")
            faces.append(Face(person=person, expression=expression, style=style))
    return Vocabulary(things, faces=tuple(faces))


def _held_out(vocabulary: Vocabulary) -> Iterator[Pair]:
    """The pairs that training must not see."""
    held = holdout()
    for concept, style in vocabulary.pairs:
        if style in STYLES:
            kept = concept in held.concepts or style in MISDRAWN.get(concept, ())
        else:
            kept = named_like_heldout(concept)
        if kept or style == held.style:
            yield concept, style
    yield from (face.pair for face in vocabulary.faces if is_held_out(face))
