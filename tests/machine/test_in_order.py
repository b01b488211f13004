from __future__ import annotations

import threading
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch

from xfeat_cli import Features, XFeat
from xfeat_cli.config import Backend
from xfeat_cli.machine.threads import in_order, single_threaded
from xfeat_cli.model import openvino_network


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """What torch has on two cores, whatever the other tests run with."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(2)
    cv2.setNumThreads(2)
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


def _threads() -> tuple[int, int]:
    return torch.get_num_threads(), cv2.getNumThreads()


def test_within_the_block_torch_has_one_thread() -> None:
    with single_threaded():
        assert torch.get_num_threads() == 1
        with single_threaded():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order_from_workers_of_one_thread_each(workers: int) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for i in range(20):
            taken.append(i)
            yield i

    for count, (item, future) in enumerate(in_order(lambda i: (i, _threads()), items(), workers)):
        assert future.done()
        assert future.result() == (item, (1, 1))
        assert item == count
        assert len(taken) <= count + 2 * workers
    assert taken == list(range(20))
    assert _threads() == (2, 2)
    assert _in_a_new_thread(torch.get_num_threads) == 2


def _in_a_new_thread(function: object) -> object:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(function()))  # type: ignore[operator]
    thread.start()
    thread.join()
    return found[0]


def test_an_error_belongs_to_its_item_and_leaving_early_stops_the_rest() -> None:
    started: list[int] = []

    def work(i: int) -> int:
        started.append(i)
        return 6 // i

    results = in_order(work, iter(range(100)), 1)
    _, first = next(results)
    assert isinstance(first.exception(), ZeroDivisionError)
    assert next(results)[1].result() == 6
    results.close()
    assert len(started) <= 4
    assert _threads() == (2, 2)


@pytest.mark.parametrize("mode", ["sparse", "semi-dense"])
@pytest.mark.parametrize("backend", [Backend.TORCH, *([Backend.OPENVINO] if openvino_network.is_installed() else [])])
def test_an_image_is_the_same_alone_and_among_others_on_any_number_of_threads(
    photograph: np.ndarray, mode: str, backend: Backend
) -> None:
    model = XFeat(mode=mode, device="cpu", backend=backend)
    alone = model.detect(photograph)
    among = model.detect([photograph[:, ::-1], photograph, photograph[:100], photograph])
    torch.set_num_threads(1)
    expected = model.detect(photograph)
    for one in (alone, among[1], among[3]):
        assert _equal(one, expected)


def _equal(a: Features, b: Features) -> bool:
    return all(
        np.array_equal(x, y)
        for x, y in ((a.keypoints, b.keypoints), (a.scores, b.scores), (a.descriptors, b.descriptors))
    )
