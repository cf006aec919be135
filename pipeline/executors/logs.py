"""The log of a pod, line by line, over as many connections as it takes: nothing twice, nothing lost, nothing torn.

The server's time stamps tell where to go on. It is asked for all since the last one and may resend that whole second,
so lines before it are dropped, and of those that bear it as many as were given already.
"""

import re
from collections.abc import Iterable, Iterator

STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$")


class Reader:
    """How far the log of one pod is read."""

    def __init__(self) -> None:
        self.since: str | None = None  # the stamp of the last line given
        self._last = ("", "")
        self._at_last: list[str] = []  # the lines given that bear it
        self._unstamped: set[str] = set()  # what the kubelet says of itself, once each

    def lines(self, pieces: Iterable[bytes], ended: bool) -> Iterator[str]:
        """New lines in what one connection brings, which starts at `since`.

        A last line without its end is torn and comes again, unless the pod has `ended` and so has the connection.
        """
        resent, torn = list(self._at_last), b""
        for piece in pieces:
            *whole, torn = (torn + piece).split(b"\n")
            for line in whole:
                yield from self._new(line.decode(errors="replace"), resent)
        if torn and ended:
            yield from self._new(torn.decode(errors="replace"), resent)

    def _new(self, line: str, resent: list[str]) -> Iterator[str]:
        stamp, _, text = line.partition(" ")
        matched = STAMP.match(stamp)
        if matched is None:
            if line and line not in self._unstamped:
                self._unstamped.add(line)
                yield line
            return
        moment = (matched[1], (matched[2] or "").ljust(9, "0"))
        if moment < self._last:
            return
        if moment == self._last:
            if text in resent:
                resent.remove(text)
                return
        else:
            self._last, self.since, self._at_last = moment, stamp, []
            resent.clear()
        self._at_last.append(text)
        yield text
