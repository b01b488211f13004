from __future__ import annotations

import pytest
import torch

from xfeat_cli.machine import processor


@pytest.mark.parametrize("torch_is_old", [False, True])
@pytest.mark.parametrize(
    ("flags", "multiplies", "tiles"),
    [((), False, False), (("avx512_bf16",), True, False), (("avx512_bf16", "amx_bf16"), True, True)],
)
def test_tiles_are_more_than_multiplying(
    flags: tuple[str, ...], multiplies: bool, tiles: bool, torch_is_old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, flag in (("_is_avx512_bf16_supported", "avx512_bf16"), ("_is_amx_tile_supported", "amx_bf16")):
        if torch_is_old:
            monkeypatch.delattr(torch.cpu, name, raising=False)
        else:
            monkeypatch.setattr(torch.cpu, name, lambda flag=flag: flag in flags, raising=False)
    monkeypatch.setattr(processor, "_flags", lambda: frozenset(flags if torch_is_old else ()))
    for question in (processor.multiplies_bf16, processor.has_bf16_tiles):
        question.cache_clear()
    try:
        assert (processor.multiplies_bf16(), processor.has_bf16_tiles()) == (multiplies, tiles)
    finally:
        for question in (processor.multiplies_bf16, processor.has_bf16_tiles):
            question.cache_clear()
