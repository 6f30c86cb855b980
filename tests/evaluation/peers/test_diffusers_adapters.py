"""Wiring of IP-Adapter and ControlNets, on tiny models of the real classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    StableDiffusionPipeline,
)
from safetensors.torch import save_file
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.peers.diffusers_adapters import DiffusersAdapters
from instruct_imagen.instruction import Instruction, Reference
from tests.tiny import sd_unet

WIDTH = 16
RED, BLUE, EDGES = (np.zeros((32, 32, 3), np.uint8) + np.array(c, np.uint8)
                    for c in ((250, 0, 0), (0, 0, 250), (255, 255, 255)))  # fmt: skip
DOG = Reference(1, RED, "dog", "subject")
STYLE = Reference(2, BLUE, "style image", "style")
EDGE = Reference(3, EDGES, "edge map", "edge")
DEPTH = Reference(4, EDGES // 2, "depth map", "depth")


def _tokenizer(folder) -> CLIPTokenizer:
    """Letters alone."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{one}</w>" for one in [*letters, ".", ":"]), "<|startoftext|>",
             "<|endoftext|>"]  # fmt: skip
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"),
                         model_max_length=77)  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of a text-to-image pipeline, two ControlNets and an IP-Adapter."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "words").mkdir()
    tokenizer = _tokenizer(folder / "words")
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=32,
        num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=4,
    )  # fmt: skip
    unet = sd_unet(WIDTH)
    StableDiffusionPipeline(
        vae=vae, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=unet,
        scheduler=DDIMScheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder / "base")  # fmt: skip
    for seed, name in enumerate(("edge", "depth")):
        torch.manual_seed(seed)
        net = ControlNetModel.from_unet(
            unet, load_weights_from_unet=False, conditioning_embedding_out_channels=(8, 16)
        )
        for block in (net.controlnet_mid_block, *net.controlnet_down_blocks):
            torch.nn.init.normal_(block.weight, std=0.5)  # zero at first: it would change nothing
        torch.nn.init.normal_(net.controlnet_cond_embedding.conv_out.weight, std=0.5)
        net.save_pretrained(folder / name)
    _ip_adapter(folder / "ip", unet)
    return folder


def _ip_adapter(folder, unet) -> None:
    """Random weights of the file's layout: a projection, and keys and values for each site."""
    torch.manual_seed(5)
    vision = CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        image_size=32, patch_size=16, projection_dim=8,
    )  # fmt: skip
    CLIPVisionModelWithProjection(vision).save_pretrained(folder / "models" / "image_encoder")
    state = {
        "image_proj.proj.weight": torch.randn(4 * WIDTH, 8),
        "image_proj.proj.bias": torch.zeros(4 * WIDTH),
        "image_proj.norm.weight": torch.ones(WIDTH),
        "image_proj.norm.bias": torch.zeros(WIDTH),
    }
    sites = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    for place in range(len(sites)):
        width = unet.get_submodule(sites[place].removesuffix(".processor")).to_k.out_features
        for part in ("to_k_ip", "to_v_ip"):
            state[f"ip_adapter.{2 * place + 1}.{part}.weight"] = torch.randn(width, WIDTH)
    save_file(state, folder / "models" / "ip-adapter_sd15.safetensors")


def peer(models, **options) -> DiffusersAdapters:
    return DiffusersAdapters(
        model=str(models / "base"), size="32", steps="2", guidance="2", **options
    )


def drawn(model, text, *references, seed=1):
    image = model.generate(Instruction(text, references), seed=seed)
    assert image.size == (32, 32)
    return np.asarray(image).astype(int)


def test_words_alone(models):
    model = peer(models)
    same = drawn(model, "a dog")
    assert (same == drawn(model, "a dog")).all()
    assert (same != drawn(model, "a dog", seed=2)).any()
    assert (same != drawn(model, "many cats")).any()
    assert (same == drawn(model, "a dog [ref#1]", DOG)).all()  # no part sees the reference


def test_the_adapter_sees_subjects_and_styles_together(models):
    model = peer(models, ip_adapter=str(models / "ip"))
    none = drawn(model, "a dog")
    one = drawn(model, "a dog [ref#1]", DOG)
    two = drawn(model, "a dog [ref#1] [ref#2]", DOG, STYLE)
    other = drawn(model, "a dog [ref#1]", Reference(1, BLUE, "dog", "subject"))
    assert abs(none - one).mean() > 0.1
    assert abs(one - two).mean() > 0.1
    assert abs(one - other).mean() > 0.1
    assert (none == drawn(model, "a dog")).all()  # the weight is 0 again
    assert (none == drawn(model, "a dog [ref#3]", EDGE)).all()
    assert (none == drawn(peer(models), "a dog")).all()


def test_each_layout_goes_to_its_own_net(models):
    nets = {name: str(models / name) for name in ("edge", "depth")}
    model = peer(models, **nets)
    none = drawn(model, "a dog")
    edge = drawn(model, "a dog [ref#3]", EDGE)
    depth = drawn(model, "a dog [ref#4]", DEPTH)
    both = drawn(model, "a dog [ref#3] [ref#4]", EDGE, DEPTH)
    pictures = (none, edge, depth, both)
    for place, first in enumerate(pictures):
        assert all(abs(first - other).mean() > 0.1 for other in pictures[place + 1 :])
    assert abs(none - drawn(peer(models), "a dog")).max() <= 1  # weight 0: as without nets
    inputs = model.inputs(Instruction("a dog [ref#4]", (DEPTH,)))
    assert inputs["controlnet_conditioning_scale"] == [0.0, 1.0]


def test_one_net_and_the_adapter_together(models):
    model = peer(models, edge=str(models / "edge"), ip_adapter=str(models / "ip"))
    edge = drawn(model, "a dog [ref#3]", EDGE)
    both = drawn(model, "a dog [ref#3] [ref#1]", EDGE, DOG)
    assert abs(edge - both).mean() > 0.1
    inputs = model.inputs(Instruction("Draw [ref#3]: the [ref#1] dog.", (EDGE, DOG)))
    assert inputs["prompt"] == "Draw: the dog."
    assert inputs["controlnet_conditioning_scale"] == 1.0
    assert len(inputs["ip_adapter_image"][0]) == 1


def test_scales_have_an_effect_and_belong_to_the_fingerprint(models):
    parts = {"edge": str(models / "edge"), "ip_adapter": str(models / "ip")}
    strong, weak = peer(models, **parts), peer(models, **parts, ip_scale="0", control_scale="0")
    assert strong.fingerprint == peer(models, **parts).fingerprint != weak.fingerprint
    text = "a dog [ref#1] [ref#3]"
    assert abs(drawn(strong, text, DOG, EDGE) - drawn(weak, text, DOG, EDGE)).mean() > 0.1
    assert abs(drawn(weak, text, DOG, EDGE) - drawn(peer(models), "a dog")).max() <= 1


def test_what_cannot_be_loaded_is_one_line(models):
    with pytest.raises(EvaluationError, match="a model cannot be loaded"):
        DiffusersAdapters(model=str(models / "nothing"))
    with pytest.raises(EvaluationError, match="a model cannot be loaded"):
        peer(models, ip_adapter=str(models / "base"))
