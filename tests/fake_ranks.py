"""Ranks that are threads of one process, with as much of mpi4py's communicator as is used."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

Result = TypeVar("Result")
TIMEOUT = 60.0


class FakeRequest:
    """A request; its function returns whether it is done."""

    def __init__(self, test: Callable[[], bool]) -> None:
        self._test, self._is_done = test, False

    def Test(self) -> bool:
        self._is_done = self._is_done or self._test()
        return self._is_done


class FakeComm:
    """A communicator of threads, with mpi4py's names. Messages are copied when they are sent."""

    def __init__(self, rank: int, size: int, boxes: Any = None, copies: int = 0) -> None:
        self._rank, self._size, self._copies = rank, size, copies
        self.boxes: dict[Any, Any] = {} if boxes is None else boxes  # one for all ranks

    def _box(self, to: int, source: int) -> deque[bytes]:
        return self.boxes.setdefault((self._copies, to, source), deque())

    def Get_rank(self) -> int:
        return self._rank

    def Get_size(self) -> int:
        return self._size

    def Idup(self) -> tuple[FakeComm, FakeRequest]:
        self._copies += 1
        made = FakeComm(self._rank, self._size, self.boxes, self._copies)
        return made, FakeRequest(lambda: True)

    def Free(self) -> None:
        own = (self._copies, self._rank)
        left = [key for key, box in list(self.boxes.items()) if key[:2] == own and box]
        assert not left, "messages that nobody has received"

    def Isend(self, array: Any, dest: int) -> FakeRequest:
        assert array.flags.c_contiguous
        self._box(dest, self._rank).append(array.tobytes())
        return FakeRequest(lambda: True)

    def Irecv(self, array: Any, source: int) -> FakeRequest:
        assert array.flags.c_contiguous
        assert array.flags.writeable
        box = self._box(self._rank, source)

        def test() -> bool:
            if not box:
                return False
            array.reshape(-1).view(np.uint8)[:] = np.frombuffer(box.popleft(), np.uint8)
            return True

        return FakeRequest(test)


def run_ranks(size: int, work: Callable[[Any], Result]) -> list[Result | BaseException]:
    """Call a function with the communicator of each rank; return what each returned or raised."""
    boxes: dict[Any, Any] = {}
    outcomes: list[Any] = [None] * size

    def run(rank: int) -> None:
        try:
            outcomes[rank] = work(FakeComm(rank, size, boxes))
        except BaseException as error:
            outcomes[rank] = error

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive(), "a rank hangs"
    return outcomes
