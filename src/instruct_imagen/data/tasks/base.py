"""What a task is, and how its templates are loaded, checked and filled.

A task turns the world into examples: it samples a scene, decides what the references show and
words the instruction with one of its templates ([Hu24] §3.2, A.3). Templates stand beside the
tasks, in ``templates/<task>.txt``: one a line, ``#`` opens a comment line, and placeholders such as
``{caption}`` or ``{ref1}`` are filled here. ``{Caption}`` is ``{caption}`` with a capital letter.

Each template is checked by itself, and all of a task together: there are 100 or more, as in the
paper, and they vary in length and in the places of markers and caption ([Hu24] A.3 has people check
them).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib import resources
from itertools import permutations
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar, runtime_checkable

from instruct_imagen.data.world.vocabulary import VocabularyError

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.example import Example
    from instruct_imagen.data.world.vocabulary import Vocabulary

T = TypeVar("T")

MIN_TEMPLATES = 100
MIN_WORDS, MAX_WORDS = 1, 30
MAX_CHARACTERS = 160
SHORT_WORDS, LONG_WORDS = 6, 15
"""Words, with a placeholder as one, that the shortest may have at most and the longest at least."""

MIN_ORDER = 0.25
"""Share of templates, of those with two markers, that must have either order."""

MIN_CAPTION_FIRST, MIN_CAPTION_LAST = 0.15, 0.15
"""Shares of templates, of those with a caption, that must have it in the first or last third."""

MAX_COPIES = 0.1
"""Share of templates that may differ in one word alone from one before them."""

# Filled with words that may open a sentence; all other placeholders bring a marker.
_CAPTIONS = frozenset({"caption", "scene", "edit"})

# Filled with a marker alone or with words before it ("the edge map [ref#2]"), which a sentence may
# open with too.
_WORDED = frozenset({"control"})

# "a" before these although they begin with a vowel letter, "an" although they do not.
_CONSONANT_SOUND = ("one", "once", "uni", "use", "usu", "eu")
_VOWEL_SOUND = ("hour", "honest", "heir")

# A sentence begins here with a caption, and no word goes on behind it: "{Caption} is what I want"
# has to begin with the thing.
_OPENING = re.compile(
    r'(?:^"?|[.?!:] "?|[ (]")\{(?:' + "|".join(sorted(_CAPTIONS)) + r")\}(?! [\w{])", re.IGNORECASE
)

_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_ARTICLE = re.compile(r"\b(an?) (\w+)", re.IGNORECASE)


class TemplateError(ValueError):
    """A template file that cannot be used; the message names the file, the line and the cure."""


class Task(Protocol):
    """A family of instructions.

    Implementations are made without arguments and hold no state, so that an example is a pure
    function of the generator and the vocabulary. A module of this folder that defines ``TASK`` (the
    class) is found by `instruct_imagen.data.tasks.registry`. One with ``heldout = True`` makes a
    combination of the frozen hold-out: it is there to evaluate, and to train only where a recipe
    says so.

    Attributes:
        name: Also that of its file of templates.
        forms: The sets of placeholders that its templates have; none where the text is a plain
            caption, without templates and markers.
    """

    name: ClassVar[str]
    forms: ClassVar[tuple[frozenset[str], ...]]

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """Draw one example.

        Args:
            rng: The only source of randomness.
            vocabulary: Which (concept, style) pairs may be drawn; nothing else is.
        """
        ...


@runtime_checkable
class PartialTask(Task, Protocol):
    """A task that not every vocabulary has what it takes for.

    Attributes:
        needs: What that is, e.g. ``"faces"``.
    """

    needs: ClassVar[str]

    def drawable(self, vocabulary: Vocabulary) -> bool:
        """Whether it can be drawn from the vocabulary."""
        ...


@runtime_checkable
class ClusterTask(Task, Protocol):
    """A task that can draw several examples that share their references."""

    def cluster_examples(
        self, rng: np.random.Generator, vocabulary: Vocabulary
    ) -> tuple[Example, ...]:
        """Draw all examples of one cluster; the first equals `example` of the same generator."""
        ...


def drawable(task: Task, vocabulary: Vocabulary) -> bool:
    """Whether the vocabulary has what a task takes."""
    return not isinstance(task, PartialTask) or task.drawable(vocabulary)


def marker(k: int) -> str:
    """The reference marker ``[ref#k]``, k from 1."""
    return f"[ref#{k}]"


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of `options`, uniformly.

    `rng.random` costs a tenth of `rng.choice` and a fifth of `rng.integers`, and its 53 bits leave
    no bias that matters for sequences of this length.
    """
    return options[int(rng.random() * len(options))]


def pick_other(rng: np.random.Generator, options: Sequence[T], *excluded: T) -> T | None:
    """One of `options` that is none of `excluded`, uniformly; None if there is none."""
    if len(options) > 8 * len(excluded):
        for _ in range(16):  # rejection is far cheaper than building the list of what is left
            found = options[int(rng.random() * len(options))]
            if found not in excluded:
                return found
    left = [option for option in options if option not in excluded]
    return pick(rng, left) if left else None


def retry(draw: Callable[[], T | None], what: str, attempts: int = 200) -> T:
    """Call `draw` until it gives something.

    Args:
        draw: Returns None when what it drew cannot be used.
        what: Names what is wanted, for the error.
        attempts: How often to try.

    Raises:
        VocabularyError: The vocabulary seems to have nothing that fits.
    """
    for _ in range(attempts):
        found = draw()
        if found is not None:
            return found
    raise VocabularyError(
        f"no {what} in {attempts} draws; give the task a vocabulary with more concepts and styles"
    )


def placeholders(template: str) -> frozenset[str]:
    """Names of the placeholders, in lower case: ``{Caption}`` counts as ``caption``."""
    return frozenset(name.lower() for name in _PLACEHOLDER.findall(template))


def opens_sentence(template: str) -> bool:
    """Whether the caption of a template opens a sentence: at its start, after a stop or quoted.

    Only there can a caption begin with its background or its style: "turn it into on a red
    background, a mouse" is no sentence.
    """
    return _OPENING.search(template) is not None


def fill(template: str, **values: str) -> str:
    """Replace the placeholders of a checked template.

    Args:
        template: E.g. ``"{Caption}, as {ref1} outlines."``.
        values: A text for each placeholder, named in lower case. One that has a comma inside gets
            one behind it where the sentence goes on: "a dog, flat style, with ...".
    """
    for name, value in values.items():
        if "," in value:
            template = template.replace("{" + name + "} ", "{" + name + "}, ")
        template = template.replace("{" + name + "}", value)
        capital = "{" + name.capitalize() + "}"
        if capital in template:
            template = template.replace(capital, value[:1].upper() + value[1:])
    return template


@cache
def load_templates(task: str, *forms: frozenset[str]) -> tuple[str, ...]:
    """Read and check the templates of a task.

    Args:
        task: The file is ``templates/<task>.txt``.
        forms: The sets of placeholders that a template may have; each template has exactly one of
            these sets.

    Returns:
        The templates, in the order of the file.

    Raises:
        TemplateError: There is no such file, or `check_templates` finds faults.
    """
    name = f"templates/{task}.txt"
    file = resources.files(__package__) / "templates" / f"{task}.txt"
    if not file.is_file():
        raise TemplateError(
            f"{name} is missing; write it, one template a line, at least {MIN_TEMPLATES}"
        )
    lines = file.read_text(encoding="utf-8").splitlines()
    templates = tuple(line for line in lines if line.strip() and not line.startswith("#"))
    faults = check_templates(templates, forms)
    if faults:
        raise TemplateError(f"{name}: " + "; ".join(faults))
    return templates


def check_templates(templates: Sequence[str], forms: Iterable[frozenset[str]]) -> list[str]:
    """Find what is wrong with the templates of a task.

    Args:
        templates: One a line of the file.
        forms: The allowed sets of placeholders.

    Returns:
        One line a fault, with the template that it is about, or with what all of them together
        lack; empty if all is well.
    """
    forms = tuple(forms)
    faults = []
    if len(templates) < MIN_TEMPLATES:
        faults.append(f"{len(templates)} templates; write at least {MIN_TEMPLATES}")
    seen: dict[str, str] = {}
    for template in templates:
        faults.extend(f"{fault}: {template!r}" for fault in _faults_of(template, forms))
        key = " ".join(_plain_words(template))
        if key in seen:
            faults.append(f"says the same as {seen[key]!r}: {template!r}")
        seen.setdefault(key, template)
    faults += _form_faults(templates, forms) + _order_faults(templates, forms)
    return faults + _place_faults(templates) + _length_faults(templates) + _copy_faults(templates)


def _plain_words(template: str) -> list[str]:
    """Words without case and punctuation, a placeholder being one."""
    return re.sub(r"[^a-z0-9{}]+", " ", template.lower()).split()


def _form_faults(templates: Sequence[str], forms: tuple[frozenset[str], ...]) -> list[str]:
    """Every form, and so every placeholder, is used."""
    used = {placeholders(template) for template in templates}
    return [
        f"no template has {_listed(form)}; write some that do" for form in forms if form not in used
    ]


def _order_faults(templates: Sequence[str], forms: tuple[frozenset[str], ...]) -> list[str]:
    """Of two markers of a form, each comes first often enough."""
    faults = []
    for form in forms:
        rows = [template.lower() for template in templates if placeholders(template) == form]
        for first, second in permutations(sorted(form - _CAPTIONS), 2):
            marks = "{" + first + "}", "{" + second + "}"
            count = sum(row.index(marks[0]) < row.index(marks[1]) for row in rows)
            if count < MIN_ORDER * len(rows):
                faults.append(
                    f"{marks[0]} stands before {marks[1]} in {count} of {len(rows)} templates; "
                    f"turn some round, so that {MIN_ORDER:.0%} or more have this order"
                )
    return faults


def _place_faults(templates: Sequence[str]) -> list[str]:
    """The caption comes early in some and late in some; nothing is asked where there is none."""
    places = []
    for template in templates:
        words = template.split()
        here = [i for i, word in enumerate(words) if placeholders(word) & _CAPTIONS]
        if here:
            places.append((here[0] + 0.5) / len(words))  # the middle of the word, in (0, 1)
    faults = []
    for part, share, count in (
        ("first", MIN_CAPTION_FIRST, sum(place < 1 / 3 for place in places)),
        ("last", MIN_CAPTION_LAST, sum(place > 2 / 3 for place in places)),
    ):
        if count < share * len(places):
            faults.append(
                f"the caption stands in the {part} third of {count} of {len(places)} templates; "
                f"move it there in some, so that {share:.0%} or more have it so"
            )
    return faults


def _length_faults(templates: Sequence[str]) -> list[str]:
    """Some are short and some are long."""
    lengths = [len(template.split()) for template in templates] or [0]
    faults = []
    if min(lengths) > SHORT_WORDS:
        faults.append(f"none has {SHORT_WORDS} words or fewer; write some short templates")
    if max(lengths) < LONG_WORDS:
        faults.append(f"none has {LONG_WORDS} words or more; write some long templates")
    return faults


def _copy_faults(templates: Sequence[str]) -> list[str]:
    """Few differ in one word alone, changed, added or left out, from one before them."""
    earlier: dict[tuple[str, ...], str] = {}
    copies = []
    for template in templates:
        words = _plain_words(template)
        # A gap instead of each word and between all words: what differs in one shares a key.
        keys = [(*words[:i], "", *words[i + 1 :]) for i in range(len(words))]
        keys += [(*words[:i], "", *words[i:]) for i in range(len(words) + 1)]
        found = next((earlier[key] for key in keys if key in earlier), None)
        if found is not None:
            copies.append(f"{template!r} of {found!r}")
        for key in keys:
            earlier.setdefault(key, template)
    if len(copies) <= MAX_COPIES * len(templates):
        return []
    return [
        f"{len(copies)} of {len(templates)} templates differ in one word alone from one before "
        f"them; reword some, so that {MAX_COPIES:.0%} or fewer do: " + ", ".join(copies)
    ]


def _faults_of(template: str, forms: tuple[frozenset[str], ...]) -> list[str]:
    """Faults of one template, without the template itself."""
    faults = []
    if placeholders(template) not in forms:
        faults.append("placeholders must be " + " or ".join(map(_listed, forms)))
    if re.sub(_PLACEHOLDER, "", template).count("{") or template.count("[ref#"):
        faults.append("stray brace or marker; write placeholders such as {ref1}")
    if template != " ".join(template.split()):
        faults.append("stray spaces")
    words = len(template.split())
    if not MIN_WORDS <= words <= MAX_WORDS or len(template) > MAX_CHARACTERS:
        faults.append(f"must have {MIN_WORDS} to {MAX_WORDS} words, {MAX_CHARACTERS} characters")
    if template[-1] not in '.?!"':
        faults.append("must end as a sentence does")
    if template.count('"') % 2:
        faults.append("quotation mark is not closed")
    return faults + _case_faults(template) + _article_faults(template)


def _listed(form: frozenset[str]) -> str:
    """As messages have it: ``{caption} {ref1}``."""
    return "{" + "} {".join(sorted(form)) + "}"


def _case_faults(template: str) -> list[str]:
    """Sentences begin with a capital; ``{Caption}`` stands only there."""
    faults = []
    for match in re.finditer(r'(?:^|[.?!] )"?(\{?)(\w+)', template):
        brace, word = match.groups()
        # Markers and the like have no case; only a capitalised form exists for captions.
        if word[0].islower() and (not brace or word in _CAPTIONS | _WORDED):
            faults.append(f"{word!r} opens a sentence; give it a capital letter")
    for match in re.finditer(r"\{([A-Z]\w*)\}", template):
        if not re.search(r'(?:^|[.?!:] )"?$', template[: match.start()]):
            faults.append(f"{match.group(0)!r} does not open a sentence; write it in lower case")
    return faults


def _article_faults(template: str) -> list[str]:
    """``a`` and ``an`` agree with the next word; none stands before a caption or a marker."""
    faults = []
    for article, word in _ARTICLE.findall(template):
        word = word.lower()
        vowel = word[0] in "aeiou" and not word.startswith(_CONSONANT_SOUND)
        vowel = vowel or word.startswith(_VOWEL_SOUND)
        if vowel != (article.lower() == "an"):
            faults.append(f"'{article} {word}' has the wrong article")
    if re.search(
        r"\b(?:an?|the) \{(?:caption|scene|ref\d|content|style|source|edit|control|background)\}",
        template,
        re.I,
    ):
        faults.append("article before a placeholder that brings its own, or needs none")
    if re.search(r"\ban? \{", template, re.I):
        faults.append("'a' before a placeholder may be wrong; write 'the'")
    return faults
