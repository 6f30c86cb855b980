from __future__ import annotations

import pytest
import torch

from instruct_imagen.devices import indices, sent


def test_what_is_there_already_is_not_copied():
    values = torch.arange(3)
    assert sent(values, "cpu") is values
    assert sent(values, torch.device("meta")).device.type == "meta"
    assert indices([2, 0], "cpu").tolist() == [2, 0]
    assert indices([], "cpu").dtype == torch.int64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_copy_to_an_accelerator_waits_for_nothing():
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = sent(torch.arange(1000), "cuda")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert found.tolist() == list(range(1000))
