"""The curve of a run on its way to MLflow: each row once, whatever answers are lost and whatever requests come late."""

import time
from collections.abc import Callable, Mapping, Sequence

from pipeline.store import Store


class Curve:
    """How far the curve of one run is logged.

    Who gets no answer asks how far it is logged and goes on from there. What had no answer may yet arrive, after that
    question; so a row bears the moment at which it was first sent, and MLflow keeps one of two that are the same.
    """

    def __init__(self, store: Store, run: str) -> None:
        self._store, self._run = store, run
        self._logged, self._unsure = 0, False
        self._sent_ms: list[int] = []  # by row

    def look(self) -> None:
        """Learn how far it is logged."""
        self._logged = self._store.last_step(self._run)

    def send(self, rows: Callable[[int], Sequence[Mapping[str, float]]]) -> None:
        """Log what is not yet logged of it; `rows` gives those from a number on."""
        if self._unsure:
            self.look()
        self._unsure = True
        new, now_ms = rows(self._logged), int(time.time() * 1000)
        self._sent_ms += [now_ms] * (self._logged + len(new) - len(self._sent_ms))
        for last in self._store.log_rows(self._run, self._logged, new, self._sent_ms[self._logged :]):
            self._logged = last
        self._unsure = False
