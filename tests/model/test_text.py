from __future__ import annotations

import pytest
import torch
from transformers import AutoTokenizer, T5Config, T5EncoderModel

from instruct_imagen.model.text import TextEncoder, starter_encoder_folder


@pytest.fixture(scope="module")
def encoder():
    return TextEncoder(max_markers=3)


def test_states_do_not_depend_on_the_other_texts(encoder):
    encoder._kept.clear()
    alone = encoder(["a dog on a beach"])
    length = alone.states.shape[1]
    others = [f"the [ref#1] house number {number}" for number in range(6)]
    for place in range(7):
        encoder._kept.clear()
        together = encoder([*others[:place], "a dog on a beach", *others[place:]])
        assert torch.equal(together.states[place, :length], alone.states[0])
        assert together.mask[place].sum() == length
        assert together.states[place, length:].abs().sum() == 0


def test_a_marker_is_one_token_with_its_number(encoder):
    states = encoder(["the [ref#2] dog in the style of [ref#3]"])
    assert [k for k in states.markers[0].tolist() if k] == [2, 3]
    plain = encoder(["the this dog in the style of this"])
    # The frozen encoder reads the stand-in word.
    assert torch.allclose(states.states, plain.states, atol=1e-5)
    assert plain.markers.max() == 0


def test_kept_states_are_the_ones_given_before_and_the_oldest_go(encoder):
    small = TextEncoder(max_markers=3, cache_bytes=3 * 4 * 384 * 4)
    first = small(["a dog"]).states
    encoded = []
    small._encode, encode = lambda texts: encoded.append(texts) or encode(texts), small._encode
    assert torch.equal(small(["a dog"]).states, first)
    assert encoded == []
    small(["a cat", "a fox", "a cow"])
    assert "a dog" not in small._kept
    assert small._kept_bytes <= small.cache_bytes


def test_long_texts_are_cut(encoder):
    assert encoder(["word " * 500]).states.shape[1] == encoder.max_length
    assert encoder.tokens_cut("word " * 500) == 502 - encoder.max_length
    assert encoder.tokens_cut("word") == 0


def test_settings_survive_saving(tmp_path, encoder):
    encoder.save_pretrained(tmp_path)
    again = TextEncoder.from_pretrained(tmp_path)
    assert again.max_markers == 3
    text = ["the [ref#1] dog"]
    assert torch.equal(again(text).states, encoder(text).states)
    assert not list(tmp_path.glob("*.safetensors"))


def test_any_transformers_encoder_can_be_used_and_is_saved_with_the_pipeline(tmp_path):
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(starter_encoder_folder())
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=4, d_ff=32, num_layers=1, num_heads=2
    )
    T5EncoderModel(config).save_pretrained(tmp_path / "t5")
    tokenizer.save_pretrained(tmp_path / "t5")
    encoder = TextEncoder(str(tmp_path / "t5"), max_markers=2)
    assert encoder.width == 16
    encoder.save_pretrained(tmp_path / "saved")
    (tmp_path / "t5").rename(tmp_path / "gone")
    again = TextEncoder.from_pretrained(tmp_path / "saved")
    text = ["the [ref#2] dog"]
    assert torch.equal(again(text).states, encoder(text).states)
    assert again(text).markers.max() == 2
