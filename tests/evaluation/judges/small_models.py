"""Tiny CLIP, ViT and DINOv2 of the real classes, with processors and tokenizer, in a folder."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw
from transformers import (
    BitImageProcessorPil,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    Dinov2Config,
    Dinov2Model,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)

from instruct_imagen.evaluation.judges.embedding import QUALITY
from instruct_imagen.evaluation.judges.embedding_calibration import corrupted

SIDE = 32
COLOURS = {
    "red": (220, 30, 30), "green": (30, 170, 60), "blue": (40, 60, 220), "yellow": (240, 220, 40),
    "black": (10, 10, 10), "white": (250, 250, 250), "pink": (250, 150, 200),
    "brown": (120, 70, 30), "cyan": (40, 220, 220), "purple": (120, 20, 140),
}  # fmt: skip
SHAPES = ("disc", "square", "cross")
CLIP_SIZES = dict(
    hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
    projection_dim=16,
)  # fmt: skip
PROCESSOR = dict(
    size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE},
    do_center_crop=True, do_resize=True,
)  # fmt: skip


def drawn(colour: str, seed: int, side: int = SIDE) -> np.ndarray:
    """A colour's shape somewhere on grey with fine stripes, uint8 (side, side, 3)."""
    shape = SHAPES[list(COLOURS).index(colour) % 3]
    rng = np.random.default_rng(seed)
    big = side * 4
    pixels = np.full((big, big, 3), 128, dtype=np.uint8)
    pixels[:, :: side // 4] = 60
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    size = int(big * rng.uniform(0.75, 0.85))
    left, top = (int(rng.integers(big // 20, big - size - big // 20)) for _ in range(2))
    box = (left, top, left + size, top + size)
    fill = COLOURS[colour]
    if shape == "disc":
        pen.ellipse(box, fill=fill)
    elif shape == "square":
        pen.rectangle(box, fill=fill)
    else:
        third = size // 3
        pen.rectangle((left + third, top, left + 2 * third, top + size), fill=fill)
        pen.rectangle((left, top + third, left + size, top + 2 * third), fill=fill)
    return np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS))


def caption(colour: str) -> str:
    return f"a {colour} thing"


def tokenizer(texts) -> CLIPTokenizer:
    """Of CLIP's kind, with merges that make each word of some texts one token."""
    words = sorted({word for text in texts for word in text.lower().replace(".", " .").split()})
    merges, vocab = [], {"<|startoftext|>": 0, "<|endoftext|>": 1}
    for letter in (chr(code) for code in range(33, 127)):
        vocab.setdefault(letter, len(vocab))
        vocab.setdefault(f"{letter}</w>", len(vocab))
    for word in words:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        whole = parts[0]
        for part in parts[1:]:
            if (whole, part) not in merges:
                merges.append((whole, part))
            whole += part
            vocab.setdefault(whole, len(vocab))
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=24)


def clip_config(words: CLIPTokenizer) -> CLIPConfig:
    text = dict(
        CLIP_SIZES, vocab_size=len(words), max_position_embeddings=24, bos_token_id=0,
        eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    vision = dict(CLIP_SIZES, image_size=SIDE, patch_size=8)
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)


def save_clip(folder, steps: int, **processor) -> str:
    """A CLIP that has learned `COLOURS` and `QUALITY` in so many steps."""
    torch.manual_seed(0)
    captions = [caption(colour) for colour in COLOURS]
    quality = [text for pair in QUALITY for text in pair]
    words = tokenizer([*captions, *quality])
    network = CLIPModel(clip_config(words))
    images = CLIPImageProcessorPil(**{**PROCESSOR, **processor})
    if steps:
        fit(network, words, images, captions, quality, steps)
    network.save_pretrained(folder)
    images.save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


def fit(network, words, processor, captions, quality, steps) -> None:
    """Contrastive steps: each image to its caption, and to good or bad quality."""
    clean, bad = [], []
    for number, name in enumerate(captions * 4):
        clean.append(Image.fromarray(drawn(name.split()[1], 1000 + number)))
        bad.extend(corrupted(clean[-1]).values())
    labels = torch.arange(len(clean)) % len(captions)
    labels = torch.cat([labels, labels.repeat_interleave(3)])
    good = torch.cat([torch.zeros(len(clean)), torch.ones(len(bad))]).long()
    pixels = processor(images=[*clean, *bad], return_tensors="pt")["pixel_values"]
    tokens = words([*captions, *quality], padding=True, return_tensors="pt")
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    drawing = torch.Generator().manual_seed(1)
    for _ in range(steps):
        rows = torch.cat([
            torch.randint(len(clean), (16,), generator=drawing),
            torch.randint(len(clean), len(pixels), (16,), generator=drawing),
        ])  # fmt: skip
        found = network.get_image_features(pixel_values=pixels[rows]).pooler_output
        texts = network.get_text_features(**tokens).pooler_output
        found, texts = (torch.nn.functional.normalize(one, dim=-1) for one in (found, texts))
        logits = network.logit_scale.exp() * found @ texts.T
        names, marks = logits[:, : len(captions)], logits[:, len(captions) :]
        loss = torch.nn.functional.cross_entropy(names, labels[rows])
        for pair in marks.split(2, dim=1):
            loss = loss + torch.nn.functional.cross_entropy(pair, good[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()


def save_vit(folder) -> str:
    """A ViT of random weights without a pooler, as DINO's are published."""
    sizes = dict(CLIP_SIZES, image_size=SIDE, patch_size=8)
    sizes.pop("projection_dim")
    network = ViTModel(ViTConfig(**sizes), add_pooling_layer=False)
    processor = ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return _saved(folder, network, processor)


def save_dinov2(folder) -> str:
    sizes = dict(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE, patch_size=8
    )
    processor = BitImageProcessorPil(**PROCESSOR)
    return _saved(folder, Dinov2Model(Dinov2Config(**sizes)), processor)


def _saved(folder, network, processor) -> str:
    torch.manual_seed(2)
    with torch.no_grad():  # as transformers begins, such small networks hardly tell images apart
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.2)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)
