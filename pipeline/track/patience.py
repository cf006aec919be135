"""Waiting for a server that is away: what others need of it is tried again, for a stated time and not in silence."""

import math
import os
import re
import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 20.0


class Away(RuntimeError):  # noqa: N818 - it says what is the matter
    """A server does not answer, or says that it cannot now: the same request may succeed later."""


def seconds(name: str, otherwise: float) -> float:
    """The number of seconds in an environment variable; unset or empty, `otherwise`.

    Raises:
      ValueError: that is no number.
    """
    given = os.environ.get(name) or str(otherwise)
    if not re.fullmatch(r"inf|\d+(\.\d*)?", given):
        unset = "for ever" if otherwise == math.inf else f"{otherwise:g}"
        raise ValueError(f"{name} is {given!r}, expected a number of seconds; unset, it is {unset}.")
    return float(given)


def patiently(ask: Callable[[], Answer], what: str, for_s: float) -> Answer:
    """The answer of `ask`, which is called again, with growing pauses, while it raises Away.

    Raises:
      Away: the last one, when the server was away for `for_s`.
    """
    began, pause_s, said = time.monotonic(), FIRST_PAUSE_S, False
    while True:
        try:
            answer = ask()
        except Away as error:
            left_s = began + for_s - time.monotonic()
            if left_s <= 0:
                raise
            if not said and pause_s >= 4 * FIRST_PAUSE_S:  # a single hiccup is not worth a line
                print(f"{what}: {error} Trying again for up to {max(left_s, 60) / 60:.0f} minutes.", flush=True)
                said = True
            time.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        else:
            if said:
                print(f"{what}: answered after {time.monotonic() - began:.0f} s.", flush=True)
            return answer
