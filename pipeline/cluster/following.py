"""Watches a Job to its end and says on the terminal what its pods say. The Job's status is the truth.

While no pod runs it says why, by what the cluster says of the Job and its pods. VSML_PENDING_S is for how many seconds
that is waited for; unset, for ever.
"""

import contextlib
import functools
import itertools
import math
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pipeline.cluster.connection import Api, ClusterError, amount
from pipeline.cluster.gang import LOST
from pipeline.cluster.manifest import CONFIGURATION, CONTAINER, INTEGRITY
from pipeline.track.patience import Away, patiently, seconds

QUIET_S = 20.0  # a log without a line for so long may be a dead connection
PAUSE_S, LONGEST_PAUSE_S = 0.3, 5.0  # between two looks; longer and longer while nothing speaks
PATIENCE_S = 5 * 60  # with the end of a log
PENDING = "VSML_PENDING_S"
WHY_AFTER_S, AGAIN_EVERY_S = 2.0, 60.0  # asked for from then on at each look; said again, if it is the same
FINAL = re.compile(r"^FailedCreate: .*(is forbidden|denied the request|is invalid)", re.DOTALL)
QUOTA = re.compile(r"exceeded quota: \S+, requested: (\S+), used: \S+, limited: (\S+)")
AGAIN = "Mend that, `make deploy`, and run this again."
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$")  # of a line of a log
REMEMBERED = 20_000  # lines; of one second there are fewer
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
    for one in _conditions(job, "True"):
        if one["type"] in ("Complete", "Failed"):
            why = f"{one.get('reason', 'Failed')}: {one.get('message', 'no message')}"
            return why if one["type"] == "Failed" else "Complete"
    return None


def _conditions(thing: dict[str, Any], status: str) -> list[dict[str, Any]]:
    """The conditions of a Job or a pod that have this status, `True` or `False`."""
    return [one for one in thing.get("status", {}).get("conditions") or [] if one["status"] == status]


def _final(why: str) -> bool:
    """Whether a pod will never be admitted, unless another Job is made; a quota may be free later."""
    if quota := QUOTA.search(why):
        asked, all_of_it = (dict(one.split("=") for one in part.split(",")) for part in quota.groups())
        return any(amount(asked[name]) > amount(all_of_it[name]) for name in asked.keys() & all_of_it)
    return bool(FINAL.search(why))


class Stuck(ClusterError):  # noqa: N818 - it says what is the matter
    """No pod of a Job runs, and none will, or would end as the last one did."""


class Reader:
    """The log of a pod, line by line, over as many connections as it takes: nothing twice, nothing lost, nothing torn.

    The server's time stamps tell where to go on. It is asked for all since the last one and may resend that whole
    second, so of lines with the same stamp and words as many are dropped as were given before. Stamps are not compared,
    as the clock of a node may be set back.
    """

    def __init__(self) -> None:
        self.since: str | None = None  # the stamp of the last line given
        self._given: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)
        self._unstamped: set[str] = set()  # what the kubelet says of itself, once each

    def lines(self, pieces: Iterable[bytes], ended: bool) -> Iterator[str]:
        """New lines in what one connection brings, which starts at `since`.

        A last line without its end is torn and comes again, unless the pod has `ended` and so has the connection.
        """
        resent, torn = Counter(self._given), b""
        for piece in itertools.chain(pieces, [b"\n"] if ended else []):
            *whole, torn = (torn + piece).split(b"\n")
            for line in (raw.decode(errors="replace") for raw in whole):
                stamp, _, text = line.partition(" ")
                if not STAMP.match(stamp):
                    if line and line not in self._unstamped:
                        self._unstamped.add(line)
                        yield line
                elif resent[stamp, text]:
                    resent[stamp, text] -= 1
                else:
                    self._given.append((stamp, text))
                    self.since = stamp
                    yield text


class Follower:
    """Watches Jobs, and knows what of their pods is said already: it may be interrupted, and goes on where it was."""

    def __init__(self, api: Api, say: Callable[[str], None] | None = None) -> None:
        self._api, self._say = api, say or functools.partial(print, flush=True)
        self._readers: dict[str, Reader] = {}
        self._closed: set[str] = set()  # pods that have ended, of which all is said
        self._waiting: dict[str, str] = {}  # what was last said of a pod that does not run, or cannot be read
        self._idle_since: float | None = None
        self._why, self._why_said = "", 0.0

    def follow(self, name: str) -> str | None:
        """Say what the pods of a Job say until it is over; return its outcome, or None if the Job is gone.

        Raises:
          Stuck: no pod of it will run, or none has for VSML_PENDING_S, or one had too little memory.
          ValueError: that is no number.
        """
        pending_s, pause_s = seconds(PENDING, math.inf), PAUSE_S
        while (job := self._api.job(name)) is not None:
            pods = self._api.pods(name)
            listened = [self._look(pod["metadata"]["name"], pod) for pod in pods]
            running = [pod for pod in pods if pod.get("status", {}).get("phase") == "Running"]
            waiting = [
                pod["metadata"] for pod in pods if pod not in running and pod["metadata"]["name"] not in self._closed
            ]
            if (end := outcome(job)) is not None:
                return end
            # Of a gang all must run, or those that do wait for the others.
            if running and len(running) >= job["spec"].get("parallelism", 1) - job["status"].get("succeeded", 0):
                self._idle_since = None
            else:
                self._idle(job, waiting[:1], pending_s)
            pause_s = PAUSE_S if any(listened) else min(2 * pause_s, LONGEST_PAUSE_S)
            time.sleep(pause_s)
        return None

    def _idle(self, job: dict[str, Any], waiting: list[dict[str, Any]], pending_s: float) -> None:
        """Say why a pod is wanting, soon after it was so and then each minute; raise Stuck if it is for too long."""
        now, name = time.monotonic(), job["metadata"]["name"]
        self._idle_since = now if self._idle_since is None else self._idle_since
        idle_s = now - self._idle_since
        if idle_s < min(WHY_AFTER_S, pending_s):
            return
        reasons = [f"{one['type']}: {one.get('message', '')}" for one in _conditions(job, "True")]
        try:
            for about in (job["metadata"], *waiting):
                events = self._api.events(about["name"], about.get("uid"))
                reasons += [f"{one.get('reason')}: {one.get('message')}" for one in events]
        except ClusterError as error:
            reasons.append(f"the cluster does not tell ({error})")
        reasons += [self._waiting[about["name"]] for about in waiting if about["name"] in self._waiting]
        why = reasons[-1] if reasons else "the cluster says nothing of it"
        if not waiting and _final(why):
            raise Stuck(f"Job {name} gets no pod: {why.rstrip('.')}. {AGAIN}")
        if idle_s >= pending_s:
            raise Stuck(f"Job {name} wanted a running pod for {idle_s:.0f} s ({PENDING}): {why}")
        if why != self._why or now - self._why_said >= AGAIN_EVERY_S:
            self._why, self._why_said = why, now
            state = f"pod {waiting[0]['name']} does not run yet" if waiting else "no pod yet"
            self._say(f"(Job {name} waits, {state}, for {idle_s:.0f} s: {why})")

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
            if (code := end.get("exitCode")) != 0:
                why = end.get("reason") or status.get("reason") or "lost"
                words = [f"exit code {code}", MEANING.get(code, end.get("message"))]
                self._say(f"(Pod {name} ended: {', '.join(filter(None, (why, *words)))})")
                if why == "OOMKilled":  # its successors would meet the same limit
                    raise Stuck(f"Pod {name} needs more memory than its PodTemplate gives it. {AGAIN}")
        elif "running" not in state:
            waits = (state.get("waiting", {}), *_conditions(pod, "False"))
            why = next(filter(None, (one.get("message") or one.get("reason") for one in waits)), "")
            if waits[0].get("reason") in ("InvalidImageName", "ErrImageNeverPull"):
                raise Stuck(f"Pod {name} cannot start, {waits[0]['reason']}: {why.rstrip('.')}. {AGAIN}")
            if not why.startswith("containers with unready status"):
                self._say_why(name, why, f"(Pod {name} waits: {why})")
        elif pod["metadata"].get("annotations", {}).get(NUMBER, "0") == "0":
            try:
                with contextlib.suppress(Away):  # broken or quiet: the next look goes on
                    self._read(name, ended=False)
                return True
            except ClusterError as error:  # not to be had, be it for now: there is no hurry to ask again
                self._say_why(name, str(error), f"(What pod {name} says cannot be read: {error})")
        return False

    def _say_why(self, name: str, why: str, line: str) -> None:
        """Say of a pod why it does not run or cannot be read, unless that is empty or was said last."""
        if why not in ("", self._waiting.get(name)):
            self._waiting[name], self._why, self._why_said = why, why, time.monotonic()
            self._say(line)

    def _read(self, name: str, ended: bool) -> None:
        reader = self._readers.setdefault(name, Reader())
        for line in reader.lines(self._api.log(name, reader.since, not ended, QUIET_S), ended):
            self._say(line)
