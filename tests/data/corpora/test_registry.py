from __future__ import annotations

import sys
from pathlib import Path

import pytest

from instruct_imagen.data import corpora as package
from instruct_imagen.data.corpora import CorpusError, all_corpora, open_corpus
from instruct_imagen.data.corpora.registry import options_of
from tests.data.corpora.layouts import LAYOUTS, Numbered, encoded

NEW_CORPUS = """
from instruct_imagen.data.corpora.base import About, Corpus, Listing
from instruct_imagen.data.corpora.folders import images_in
from instruct_imagen.data.corpora.records import Captioned


class Postcards(Corpus[Captioned]):
    name = "{name}"
    about = About(title="Postcards", source="-", licence="-", download="Send some.", layout="-")
    record = Captioned

    def find(self):
        found = images_in(self.folder)
        if not found:
            raise self.missing("postcard")
        return Listing(found)

    def read(self, entry, reader):
        return Captioned(key=entry.name, image=reader.image(entry), caption="a postcard")


CORPUS = Postcards
"""


def test_the_corpora_of_the_paper_are_found() -> None:
    assert set(all_corpora()) >= {
        "wikiart",
        "celeba",
        "celeba_hq",
        "dreambench",
        "dreambench_plus",
        "custom_concept101",
        "photo_sketch",
        "magicbrush",
        "style_folders",
        "captioned_tars",
        "captioned_table",
        "captioned_folder",
    }
    assert all(name == corpus.name for name, corpus in all_corpora().items())


def _add(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / "postcards.py").write_text(NEW_CORPUS.format(name=name))
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    # Also makes monkeypatch forget the module afterwards.
    monkeypatch.setitem(sys.modules, f"{package.__name__}.postcards", None)
    monkeypatch.delitem(sys.modules, f"{package.__name__}.postcards")
    monkeypatch.setattr(package, "postcards", None, raising=False)


def test_a_new_corpus_is_one_new_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _add(monkeypatch, tmp_path / "code", "postcards")
    found = all_corpora.__wrapped__()
    assert set(found) == {*all_corpora(), "postcards"}
    (tmp_path / "cards").mkdir()
    with pytest.raises(CorpusError, match=r"there is no postcard\. Send some"):
        found["postcards"].open(tmp_path / "cards")
    for number in range(3):
        (tmp_path / f"cards/{number}.png").write_bytes(encoded(number))
    assert [one.key for one in found["postcards"].open(tmp_path / "cards")] == [
        "0.png",
        "1.png",
        "2.png",
    ]


def test_two_corpora_of_one_name_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _add(monkeypatch, tmp_path / "code", "celeba")
    with pytest.raises(ValueError, match=r"'celeba' is defined in .* and in .*; rename one"):
        all_corpora.__wrapped__()


def test_unknown_names_and_options_are_refused(tmp_path: Path) -> None:
    LAYOUTS["photo_sketch"](tmp_path, Numbered())
    with pytest.raises(CorpusError, match=r"unknown corpus .celebb.: use one of .*celeba"):
        open_corpus("celebb", tmp_path)
    with pytest.raises(CorpusError, match="photo_sketch has no option 'splt': it has split, width"):
        open_corpus("photo_sketch", tmp_path, splt="train")
    with pytest.raises(CorpusError, match="dreambench has no option 'split': it has none"):
        open_corpus("dreambench", tmp_path, split="train")


# How a tiny data set that has the option answers each value differently.
VALUES = {"split": "train", "width": "5", "image": "image", "caption": "other"}


@pytest.mark.parametrize(
    ("name", "option"),
    [(name, option) for name, corpus in all_corpora().items() for option in options_of(corpus)],
)
def test_every_option_has_an_effect(name: str, option: str, tmp_path: Path) -> None:
    from tests.data.corpora import layouts

    LAYOUTS[name](tmp_path, Numbered())
    if name in ("celeba", "celeba_hq"):
        layouts.partition(tmp_path)
    if name == "wikiart":
        layouts.wikiart_lists(tmp_path)
    if name == "captioned_table":
        pictures = {"image": layouts.cell(encoded(1)), "second": layouts.cell(encoded(2))}
        rows = [{**(pictures if option == "image" else {"image": pictures["image"]}),
                 "text": "a", "other": "b"}]  # fmt: skip
        layouts.table(tmp_path / "data/train-00000-of-00001.parquet", rows)
        (tmp_path / "data/test-00000-of-00001.parquet").unlink()
        if option == "split":
            layouts.table(tmp_path / "data/test-00000-of-00001.parquet", rows)

    def read(**options: str) -> list[object] | str:
        try:
            return [
                (one.key, one.words, one.pictures) for one in open_corpus(name, tmp_path, **options)
            ]
        except CorpusError as error:
            return str(error)

    chosen = read(**{option: VALUES[option]})
    assert isinstance(chosen, list) and chosen
    assert chosen != read()
