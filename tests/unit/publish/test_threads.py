"""Calls in threads, and their end."""

from __future__ import annotations

import threading

from twisted.trial.unittest import SynchronousTestCase

from upparat.publish.threads import in_threads


class ThreadsTests(SynchronousTestCase):
    def test_each_item_once(self) -> None:
        found = sorted(in_threads(lambda item: item * 2, range(50), 4))
        self.assertEqual(found, [2 * item for item in range(50)])
        self.assertEqual(list(in_threads(lambda item: item, (), 4)), [])

    def test_several_at_once(self) -> None:
        meeting = threading.Barrier(3, timeout=30)
        self.assertEqual(len(list(in_threads(lambda _: meeting.wait(), range(3), 3))), 3)

    def test_an_error_ends_it(self) -> None:
        begun: list[int] = []

        def call(item: int) -> int:
            begun.append(item)
            raise ValueError(str(item))

        error = self.assertRaises(ValueError, list, in_threads(call, range(1000), 1))
        self.assertEqual(str(error), "0")

    def test_who_stops_asking_gets_no_more(self) -> None:
        held = threading.Event()
        begun: list[threading.Thread] = []

        def call(item: int) -> int:
            begun.append(threading.current_thread())
            if item:
                held.wait(30)
            return item

        results = in_threads(call, range(1000), 1)
        self.assertEqual(next(results), 0)
        results.close()  # type: ignore[attr-defined]
        held.set()
        begun[0].join(30)
        self.assertLessEqual(len(begun), 2)

    def test_the_threads_keep_no_process_alive(self) -> None:
        kinds = list(in_threads(lambda _: threading.current_thread().daemon, range(2), 2))
        self.assertEqual(kinds, [True, True])
