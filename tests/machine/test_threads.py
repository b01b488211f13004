from __future__ import annotations

import threading

import pytest
import torch

from xfeat_cli.machine.threads import single_threaded_pool


@pytest.fixture(autouse=True)
def _three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_each_thread_works_alone_and_nothing_stays_changed() -> None:
    barrier = threading.Barrier(2)

    def threads(_: int) -> int:
        barrier.wait(10)
        return torch.get_num_threads()

    with single_threaded_pool(2) as pool:
        assert list(pool.map(threads, range(2))) == [1, 1]
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 3
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [3]


def test_an_error_drops_what_has_not_begun() -> None:
    begun, go_on = threading.Event(), threading.Event()
    done: list[int] = []

    def work(number: int) -> None:
        begun.set()
        go_on.wait(10)
        done.append(number)

    def fail() -> None:
        with single_threaded_pool(1) as pool:
            for number in range(5):
                pool.submit(work, number)
            begun.wait(10)
            threading.Timer(0.05, go_on.set).start()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert done == [0]
