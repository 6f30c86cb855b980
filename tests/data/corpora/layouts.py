"""Tiny data sets in the published layouts, one writer a corpus.

A writer gets a folder and a source of encoded images, which tests can make fail; it returns the
keys that must be read, in their order.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from instruct_imagen.data.corpora import CorpusError, Reading, open_corpus

Pictures = Callable[[], bytes]

BROKEN = b"this is no image"


def encoded(number: int, fmt: str = "PNG", size: int = 8) -> bytes:
    """An image that no other number gives."""
    pixels = np.full((size, size, 3), 200, np.uint8)
    pixels[0, 0] = (number >> 16 & 255, number >> 8 & 255, number & 255)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, fmt)
    return buffer.getvalue()


class Numbered:
    """Gives images 0, 1, 2 …; those whose number `broken` accepts are none."""

    def __init__(self, broken: Callable[[int], bool] = lambda number: False) -> None:
        self.given = 0
        self._broken = broken

    def __call__(self) -> bytes:
        self.given += 1
        number = self.given - 1
        return BROKEN if self._broken(number) else encoded(number)


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def table(
    path: Path,
    rows: list[dict[str, Any]],
    features: Mapping[str, Any] | None = None,
    group: int = 4,
    schema: pa.Schema | None = None,
    **options: Any,
) -> Path:
    """A parquet file, or an Arrow stream as ``save_to_disk`` writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = pa.Table.from_pylist(rows, schema=schema)
    if features is not None:
        note = json.dumps({"info": {"features": features}}).encode()
        made = made.replace_schema_metadata({b"huggingface": note})
    if path.suffix == ".parquet":
        pq.write_table(made, path, row_group_size=group, **options)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, made.schema) as writer:
            writer.write_table(made, max_chunksize=group)
    return path


def cell(data: bytes) -> dict[str, Any]:
    return {"bytes": data, "path": "somewhere.png"}


def tar(path: Path, files: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


WIKIART_FILES = (
    "Impressionism/claude-monet_water-lilies-1917-4.jpg",
    "Impressionism/edgar-degas_the-curtain.jpg",
    "Impressionism/paul-gauguin_port-de-grenelle-1875(1).jpg",
    "Pop_Art/andy-warhol_1962.jpg",
    "Pop_Art/roy-lichtenstein_brushstrokes.jpg",
)
WIKIART_ROWS = ((1, 0), (0, 2), (1, 1))
WIKIART_FEATURES = {
    "image": {"_type": "Image"},
    "style": {"_type": "ClassLabel", "names": ["Pop_Art", "Impressionism"]},
    "artist": {"_type": "ClassLabel", "names": ["Unknown Artist", "claude-monet"]},
    "genre": {"_type": "ClassLabel", "names": ["landscape", "portrait", "Unknown Genre"]},
}


def wikiart(folder: Path, picture: Pictures) -> list[str]:
    for name in WIKIART_FILES:
        write(folder / name, picture())
    return list(WIKIART_FILES)


def wikiart_lists(folder: Path) -> None:
    """ArtGAN's lists: all but one of `WIKIART_FILES`, and one that is not on disk."""
    gone = "Pop_Art/gone_gone.jpg"
    write(folder / "style_train.csv", f"{WIKIART_FILES[1]},12\n{gone},19\n{WIKIART_FILES[0]},12\n")
    write(folder / "style_val.csv", f"{WIKIART_FILES[3]},19\n{WIKIART_FILES[2]},12\n")
    write(folder / "genre_train.csv", f"{WIKIART_FILES[0]},4\n")
    write(folder / "genre_class.txt", "0 abstract_painting\n4 landscape\n")


def wikiart_rows(picture: Pictures) -> list[dict[str, Any]]:
    return [
        {"image": cell(picture()), "artist": style, "genre": genre, "style": style}
        for style, genre in WIKIART_ROWS
    ]


FACES = {"000001.jpg": "7", "000002.jpg": "12", "000003.jpg": "7", "000004.jpg": "3",
         "000005.jpg": "12", "000006.jpg": "7", "000007.jpg": "100", "000008.jpg": "3"}  # fmt: skip
PEOPLE = ["3", "7", "12", "100"]
PARTITION = {"7": "0", "12": "0", "3": "1", "100": "2"}
ATTRIBUTES = "Smiling Male Young Black_Hair Eyeglasses"


def attribute_lines(names: list[str], gap: str) -> str:
    """The first image has the first attribute, the second one the first two, and so on."""
    rows = [
        name + gap + " ".join("1" if place <= row % 5 else "-1" for place in range(5))
        for row, name in enumerate(names)
    ]
    return "\n".join([str(len(names)), ATTRIBUTES, *rows]) + "\n"


def celeba(folder: Path, picture: Pictures) -> list[str]:
    for name in FACES:
        write(folder / "img_align_celeba" / name, picture())
    write(folder / "identity_CelebA.txt", "\n".join(f"{f} {who}" for f, who in FACES.items()))
    write(folder / "list_attr_celeba.txt", attribute_lines(list(FACES), " "))
    return PEOPLE


def partition(folder: Path) -> None:
    lines = [f"{file} {PARTITION[who]}" for file, who in FACES.items()]
    write(folder / "list_eval_partition.txt", "\n".join(lines))


def celeba_hq(folder: Path, picture: Pictures) -> list[str]:
    originals = list(reversed(FACES))
    lines = ["idx      orig_idx       orig_file"]
    for index, original in enumerate(originals):
        write(folder / "CelebA-HQ-img" / f"{index}.jpg", picture())
        lines.append(f"{index}    {int(original[:6]) - 1}    {original}")
    write(folder / "CelebA-HQ-to-CelebA-mapping.txt", "\n".join(lines))
    names = [f"{index}.jpg" for index in range(len(originals))]
    write(folder / "CelebAMask-HQ-attribute-anno.txt", attribute_lines(names, "  "))
    write(folder / "identity_CelebA.txt", "\n".join(f"{f} {who}" for f, who in FACES.items()))
    return PEOPLE


PROMPTS_AND_CLASSES = """Classes

subject_name,class
backpack_dog,backpack
dog6,dog
vase,vase

Prompts

Object Prompts

prompt_list = [
'a {0} {1} in the jungle'.format(unique_token, class_token),
'a cube shaped {0} {1}'.format(unique_token, class_token)
]

Live Subject Prompts

prompt_list = [
'a {0} {1} wearing a red hat'.format(unique_token, class_token)
]
"""


def dreambench(folder: Path, picture: Pictures) -> list[str]:
    for name in ("backpack_dog", "dog6", "vase"):
        for number in range(3):
            write(folder / "dataset" / name / f"{number:02d}.jpg", picture())
    write(folder / "dataset" / "prompts_and_classes.txt", PROMPTS_AND_CLASSES)
    return ["backpack_dog", "dog6", "vase"]


def dreambench_plus(folder: Path, picture: Pictures) -> list[str]:
    keys = []
    for kind, count in (("animal", 2), ("object", 3), ("style", 1)):
        for number in range(count):
            keys.append(f"{kind}/{number:02d}")
            write(folder / "data/images" / f"{keys[-1]}.jpg", picture())
            lines = [f"Thing {number}", *(f"a prompt {n}" for n in range(9))]
            write(folder / "data/captions" / f"{keys[-1]}.txt", "\n".join(lines))
    return keys


def custom_concept101(folder: Path, picture: Pictures) -> list[str]:
    listed = []
    for name, word in (("scene_barn", "barn"), ("pet_dog1", "dog"), ("plushie_cow", "cow plushie")):
        for number in range(3):
            write(folder / "benchmark_dataset" / name / f"{number}.jpeg", picture())
        listed.append({
            "instance_prompt": f"photo of a <new1> {word}", "class_prompt": word,
            "instance_data_dir": f"./benchmark_dataset/{name}",
            "class_data_dir": f"./regularization/{name}",
            "prompt_filename": f"prompts/{word.split()[-1]}.txt",
        })  # fmt: skip
        write(folder / listed[-1]["prompt_filename"], "photo of a {}.\n{} in snowy ice.\n")
    write(folder / "dataset.json", json.dumps(listed))
    return ["pet_dog1", "plushie_cow", "scene_barn"]


def photo_sketch(folder: Path, picture: Pictures) -> list[str]:
    keys = []
    for photo in ("2009_01", "2010_07"):
        write(folder / "image" / f"{photo}.jpg", picture())
        write(folder / "image" / f"{photo}.txt", f"a view of {photo}")
        for width in "135":
            for number in range(1, 6):
                file = f"{photo}_{number:02d}"
                write(folder / f"sketch-rendered/width-{width}" / f"{file}.png", picture())
                keys.append(f"{file}/width-{width}")
    write(folder / "list/train.txt", "2010_07\n")
    write(folder / "list/val.txt", "2009_01\n")
    return keys


def magicbrush(folder: Path, picture: Pictures) -> list[str]:
    keys = []
    for file, rows in (("dev-00000-of-00001-ab", 3), ("train-00000-of-00001-cd", 6)):
        made = []
        for row in range(rows):
            keys.append(f"data/{file}.parquet/{row}")
            made.append({
                "img_id": str(1000 + row // 2), "turn_index": 1 + row % 2,
                "source_img": cell(picture()), "mask_img": cell(picture()),
                "instruction": f"let it be\n number {row} ", "target_img": cell(picture()),
            })  # fmt: skip
        table(folder / "data" / f"{file}.parquet", made)
    return keys


def style_folders(folder: Path, picture: Pictures) -> list[str]:
    keys = []
    for style in ("3d_rendering", "kid-crayon"):
        for number in range(3):
            keys.append(f"{style}/{number}.jpg")
            write(folder / keys[-1], picture())
    write(folder / "kid-crayon/style.txt", "kid crayon drawing\n")
    write(folder / "kid-crayon/1.txt", "A bear\n")
    return keys


def captioned_tars(folder: Path, picture: Pictures) -> list[str]:
    keys = []
    for shard in range(3):
        files = {}
        for number in range(4):
            key = f"{shard:05d}{number:04d}"
            keys.append(f"{shard:05d}/{key}")
            files[f"{key}.jpg"] = picture()
            files[f"{key}.txt"] = f"picture {key}".encode()
            files[f"{key}.json"] = json.dumps({"url": f"u{key}", "width": 8, "exif": {}}).encode()
        tar(folder / f"{shard:05d}.tar", files)
    return keys


def captioned_table(folder: Path, picture: Pictures) -> list[str]:
    keys = []
    for split, rows in (("test", 2), ("train", 9)):
        made = [{"image": cell(picture()), "text": f"row {row}", "width": 8} for row in range(rows)]
        table(folder / f"data/{split}-00000-of-00001.parquet", made)
        keys += [f"data/{split}-00000-of-00001.parquet/{row}" for row in range(rows)]
    return keys


def captioned_folder(folder: Path, picture: Pictures) -> list[str]:
    keys = []
    for inner in ("00000", "00001/deep"):
        for number in range(4):
            keys.append(f"{inner}/{number}.png")
            write(folder / keys[-1], picture())
            write(folder / inner / f"{number}.txt", f"picture {number}")
    return keys


LAYOUTS: dict[str, Callable[[Path, Pictures], list[str]]] = {
    writer.__name__: writer
    for writer in (
        captioned_folder, captioned_table, captioned_tars, celeba, celeba_hq, custom_concept101,
        dreambench, dreambench_plus, magicbrush, photo_sketch, style_folders, wikiart,
    )
}  # fmt: skip

STRICT = Reading(tolerated=0, tolerated_share=0)
"""The first problem is an error."""


def lay(name, folder, **options):
    """A whole tiny data set, opened."""
    LAYOUTS[name](folder, Numbered())
    return open_corpus(name, folder, STRICT, **options)


def refused(name, folder, **options):
    """The one line that says why a data set is not read to its end."""
    with pytest.raises(CorpusError) as caught:
        list(open_corpus(name, folder, STRICT, **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)
