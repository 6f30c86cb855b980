"""Tiny networks of the real classes, saved as transformers saves them."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)

WIDE = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2}  # fmt: skip
EYE = {**WIDE, "image_size": 16, "patch_size": 8}
SIDE = {"height": 16, "width": 16}
WORDS = {"<s>": 0, "</s>": 1, "<pad>": 2, "a": 3, "dog": 4, "cat": 5, "red": 6, "car": 7}


def _tokenizer(folder: Path) -> None:
    inner = Tokenizer(models.WordLevel(WORDS, unk_token="<s>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)


def clip(folder: Path) -> str:
    torch.manual_seed(0)
    text = {**WIDE, "vocab_size": 8, "max_position_embeddings": 8, "eos_token_id": 1,
            "bos_token_id": 0, "pad_token_id": 2}  # fmt: skip
    config = CLIPConfig(text_config=text, vision_config=EYE, projection_dim=12)
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=SIDE).save_pretrained(folder)
    _tokenizer(folder)
    return str(folder)


def siglip(folder: Path) -> str:
    torch.manual_seed(1)
    text = {**WIDE, "vocab_size": 8, "max_position_embeddings": 8, "projection_size": 16}
    SiglipModel(SiglipConfig(text_config=text, vision_config=EYE)).save_pretrained(folder)
    SiglipImageProcessorPil(size=SIDE).save_pretrained(folder)
    _tokenizer(folder)
    return str(folder)


def dinov2(folder: Path) -> str:
    torch.manual_seed(2)
    Dinov2Model(Dinov2Config(**EYE, mlp_ratio=1)).save_pretrained(folder)
    ViTImageProcessorPil(size=SIDE).save_pretrained(folder)
    return str(folder)


def dino(folder: Path) -> str:
    torch.manual_seed(3)
    ViTModel(ViTConfig(**EYE), add_pooling_layer=False).save_pretrained(folder)
    ViTImageProcessorPil(size=SIDE).save_pretrained(folder)
    return str(folder)


def faulty(folder: Path) -> str:
    """A DINO whose last norm gives NaN."""
    network = ViTModel(ViTConfig(**EYE), add_pooling_layer=False)
    torch.nn.init.constant_(network.layernorm.weight, float("nan"))
    network.save_pretrained(folder)
    ViTImageProcessorPil(size=SIDE).save_pretrained(folder)
    return str(folder)
