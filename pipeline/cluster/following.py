"""Watches a Job to its end and says on the terminal what its pods say. The Job's status is the truth."""

import contextlib
import functools
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pipeline.cluster.connection import Api, ClusterError
from pipeline.cluster.gang import LOST
from pipeline.cluster.manifest import CONFIGURATION, CONTAINER, INTEGRITY
from pipeline.track.patience import Away, patiently

QUIET_S = 20.0  # a log without a line for so long may be a dead connection
PAUSE_S = 0.3
PATIENCE_S = 5 * 60  # with the end of a log
STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$")  # of a line of a log
NUMBER = "batch.kubernetes.io/job-completion-index"  # annotation of the pods of an Indexed Job
MEANING = {
    137: "killed: out of memory, or by the node",
    143: "asked to go, by an eviction or a drain",
    CONFIGURATION: "a configuration that cannot run; see what the pod says",
    LOST: "a pod of its Job was lost or hung; all of them go on from the last checkpoint",
    INTEGRITY: "a file that is not what its digest says; see what the pod says",
}


def outcome(job: dict[str, Any]) -> str | None:
    """`Complete`, or why it failed, or None while it is not over."""
    for condition in job.get("status", {}).get("conditions") or []:
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed"):
            why = f"{condition.get('reason', 'Failed')}: {condition.get('message', 'no message')}"
            return "Complete" if condition["type"] == "Complete" else why
    return None


class Reader:
    """The log of a pod, line by line, over as many connections as it takes: nothing twice, nothing lost, nothing torn.

    The server's time stamps tell where to go on. It is asked for all since the last one and may resend that whole
    second, so lines before it are dropped, and of those that bear it as many as were given already.
    """

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
            yield from self._new(whole, resent)
        if torn and ended:
            yield from self._new([torn], resent)

    def _new(self, lines: list[bytes], resent: list[str]) -> Iterator[str]:
        for line in (raw.decode(errors="replace") for raw in lines):
            stamp, _, text = line.partition(" ")
            if not (matched := STAMP.match(stamp)):
                if line and line not in self._unstamped:
                    self._unstamped.add(line)
                    yield line
                continue
            moment = (matched[1], (matched[2] or "").ljust(9, "0"))
            if moment > self._last:
                self._last, self.since, self._at_last = moment, stamp, []
                resent.clear()
            elif moment < self._last:
                continue
            elif text in resent:
                resent.remove(text)
                continue
            self._at_last.append(text)
            yield text


class Follower:
    """Watches Jobs, and knows what of their pods is said already: it may be interrupted, and goes on where it was."""

    def __init__(self, api: Api, say: Callable[[str], None] | None = None) -> None:
        self._api, self._say = api, say or functools.partial(print, flush=True)
        self._readers: dict[str, Reader] = {}
        self._closed: set[str] = set()
        self._waiting: dict[str, str] = {}

    def follow(self, name: str) -> str | None:
        """Say what the pods of a Job say until it is over; return its outcome, or None if the Job is gone."""
        while True:
            job = self._api.job(name)
            if job is None:
                return None
            pods, version = self._api.pods(name)
            running = [self._look(pod["metadata"]["name"], pod) for pod in pods]
            if outcome(job) is not None:
                return outcome(job)
            if not any(running):  # when a pod has ended, the Job's own status follows without any change to pods
                all_ended = pods and all(pod["metadata"]["name"] in self._closed for pod in pods)
                self._api.wait_for_change(name, version, at_most_s=1 if all_ended else 10)
            time.sleep(PAUSE_S)  # a server that answers at once is still not asked too often

    def _look(self, name: str, pod: dict[str, Any]) -> bool:
        """Say what is new of a pod, for as long as it runs and speaks; tell whether it runs and is listened to.

        Of a gang the first speaks; the others are asked when they have ended, so that no silence holds up the first.
        """
        if name in self._closed:
            return False
        status = pod.get("status", {})
        stages = [one for one in status.get("containerStatuses") or [] if one["name"] == CONTAINER]
        state = (stages[0].get("state") if stages else None) or {}
        if "terminated" in state or status.get("phase") in ("Succeeded", "Failed"):
            self._closed.add(name)
            try:
                patiently(lambda: self._read(name, ended=True), f"The log of pod {name}", PATIENCE_S)
            except (Away, ClusterError) as error:  # a pod's log goes with the pod; its result does not
                self._say(f"(The rest of the log of pod {name} cannot be had: {error})")
            end = state.get("terminated", {})
            code = end.get("exitCode")
            if code != 0:
                why = end.get("reason") or status.get("reason") or "lost"
                meaning = MEANING.get(code, end.get("message") or "")
                self._say(f"(Pod {name} ended: {why}, exit code {code}{', ' if meaning else ''}{meaning})")
            return False
        if "running" not in state:
            unmet = [one for one in status.get("conditions") or [] if one["status"] == "False"]
            reasons = [state.get("waiting", {}), *unmet]
            why = next(filter(None, (one.get("message") or one.get("reason") for one in reasons)), "")
            if why and why != self._waiting.get(name) and not why.startswith("containers with unready status"):
                self._waiting[name] = why
                self._say(f"(Pod {name} waits: {why})")
            return False
        if pod["metadata"].get("annotations", {}).get(NUMBER, "0") != "0":
            return False
        with contextlib.suppress(Away, ClusterError):  # broken, quiet, or not to be had now: the next look goes on
            self._read(name, ended=False)
        return True

    def _read(self, name: str, ended: bool) -> None:
        reader = self._readers.setdefault(name, Reader())
        for line in reader.lines(self._api.log(name, reader.since, not ended, QUIET_S), ended):
            self._say(line)
