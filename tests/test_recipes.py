"""Recipes: sizes that they state, and that each can be built."""

from __future__ import annotations

import pytest
import torch

from instruct_imagen.recipes import recipe, recipe_names
from instruct_imagen.training.build import build_model


def parameters(name: str) -> tuple[int, int]:
    """Of the whole network, and of it without what the context brought."""
    with torch.device("meta"):
        model = build_model(recipe(name))
    own = sum(weight.numel() for weight in model.parameters())
    context = sum(weight.numel() for site in model.sites for weight in site.parameters())
    return own, own - context


def test_the_papers_network_has_about_its_parameters():
    """[Hu24] A.2.1: 2.51B without context, 2.76B with it."""
    own, without = parameters("paper")
    assert without == pytest.approx(2.51e9, rel=0.05)
    assert own == pytest.approx(2.76e9, rel=0.05)


def test_the_papers_upscaler_has_about_its_parameters():
    """[Hu24] Table 5: 581M, which see no references."""
    own, without = parameters("paper_upscaler")
    assert without == pytest.approx(581e6, rel=0.05)
    assert own < 1.1 * without


@pytest.mark.parametrize("name", ["small", "small_upscaler"])
def test_the_small_networks_can_be_shipped(name):
    """In bf16, each within 64 MB."""
    assert 29e6 < parameters(name)[0] < 32e6


def test_an_upscaler_enlarges_what_the_model_before_it_draws():
    for base, upscaler in (
        ("starter", "upscaler"),
        ("small", "small_upscaler"),
        ("paper", "paper_upscaler"),
    ):
        assert recipe(upscaler).low_size == recipe(base).size
        assert recipe(upscaler).text_encoder == recipe(base).text_encoder


@pytest.mark.parametrize("name", recipe_names())
def test_each_recipe_builds_its_network(name):
    config = recipe(name)
    assert config.name == name
    with torch.device("meta"):
        assert build_model(config).text_dim == config.text_dim
