"""CustomConcept101: 101 concepts with three to fifteen images and twenty prompts each."""

from __future__ import annotations

from dataclasses import dataclass

from instruct_imagen.data.corpora.base import (
    About,
    Corpus,
    CorpusError,
    EntryError,
    Listing,
    Reader,
)
from instruct_imagen.data.corpora.folders import images_in, inside, json_of, lines_of, text_beside
from instruct_imagen.data.corpora.records import SubjectSet

_LIST = "dataset.json"


@dataclass(frozen=True, kw_only=True)
class Concept:
    """An entry of the list."""

    name: str
    folder: str
    prompts: str


class CustomConcept101(Corpus[SubjectSet]):
    """Concepts of many kinds: toys, pets, places, things to wear."""

    name = "custom_concept101"
    about = About(
        title="CustomConcept101",
        source="Kumari et al. 2023 (Custom Diffusion): "
        "https://github.com/adobe-research/custom-diffusion/tree/main/customconcept101",
        licence="images of unsplash.com under the Unsplash licence, the authors' own under "
        "CC BY-SA 4.0, flowers of Wikimedia, Flickr and Pixabay under their own",
        download="Unpack benchmark_dataset.zip (see its README), and put dataset.json and prompts/ "
        "of the repository beside its folder",
        layout="dataset.json benchmark_dataset/<concept>/* prompts/*.txt",
    )
    record = SubjectSet

    def find(self) -> Listing[Concept]:
        """The concepts of the list."""
        lacking = [
            name
            for name in (_LIST, "benchmark_dataset", "prompts")
            if not (self.folder / name).exists()
        ]
        if lacking:
            raise self.missing(*lacking)
        found = json_of(self.folder / _LIST)
        try:
            concepts = [
                Concept(
                    name=one["class_prompt"],
                    folder=one["instance_data_dir"],
                    prompts=one["prompt_filename"],
                )
                for one in found
            ]
        except (TypeError, KeyError) as error:
            raise CorpusError(
                f"{self.folder / _LIST} is no list of concepts ({error}): take that of the "
                "repository, not dataset_multiconcept.json"
            ) from error
        if len({one.folder for one in concepts}) != len(concepts) or not concepts:
            raise CorpusError(f"{self.folder / _LIST} is empty or names a folder twice")
        return Listing(sorted(concepts, key=lambda one: one.folder))

    def read(self, entry: Concept, reader: Reader) -> SubjectSet:
        """One concept; one whose prompts are missing is kept and counted as a problem."""
        folder = inside(self.folder, entry.folder)
        if not folder.is_dir() or not (paths := images_in(folder)):
            raise EntryError(f"{reader.name(folder)}: no folder with images")
        images = reader.images({path: path for path in paths})
        texts = inside(self.folder, entry.prompts)
        if not texts.is_file():
            reader.problems.add(
                EntryError(f"{reader.name(texts)}: No such file or directory", "no file")
            )
        prompts = lines_of(texts, EntryError) if texts.is_file() else ()
        return SubjectSet(
            key=folder.name,
            name=entry.name,
            images=tuple(images.values()),
            captions=tuple(text_beside(path) for path in images),
            prompts=tuple(prompt.replace("{}", entry.name) for prompt in prompts),
        )


CORPUS = CustomConcept101
