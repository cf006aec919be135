"""Takes what a spooled stage says while it runs to its MLflow run: the curve, and checkpoints at a bounded pace.

A run refers to its last two checkpoints, in a tag, by names that hold step and sha256; older ones are removed. Whoever
takes the run over on another machine unpacks them: if the newest is damaged or missing, the one before it serves.
"""

import json
import os
import re
import time
from pathlib import Path

from pipeline import artifacts, checkpoints, paths, spool
from pipeline.curve import Curve
from pipeline.store import MissingInStoreError, Store, TrackingError

CHECKPOINT_EVERY_S = 30.0
AFTER_FAILURE_S = 15.0
TAG, FOLDER = "checkpoints", "checkpoints"
NAME = re.compile(r"[0-9a-f]{64}/\d{8,}-[0-9a-f]{64}\.npz")  # fingerprint of the machine's job / step - sha256


class Courier:
    """Between the spool and the checkpoints of one stage on this machine, and its run."""

    def __init__(self, store: Store, run: str, folder: Path) -> None:
        self._store, self._run, self._folder = store, run, folder
        self._curve, self._sent = Curve(store, run), []
        self._not_before = self._next_checkpoint = 0.0

    def unpack(self) -> None:
        """Fetch the checkpoints that an earlier attempt left, and learn how much of the curve is logged."""
        self._curve.look()
        for name in json.loads(self._store.get(self._run).tags.get(TAG, "[]")):
            if not NAME.fullmatch(name):
                print(f"{name!r}, to which run {self._run} refers, is no name of a checkpoint.", flush=True)
            elif self._fetched(name):
                self._sent.append(name)

    def send(self, now: bool = False) -> None:
        """Send what is new, unless MLflow was away a moment ago; what is not taken is sent later."""
        if time.monotonic() < self._not_before and not now:
            return
        try:
            self._send_curve()
            if now or time.monotonic() >= self._next_checkpoint:
                self._send_checkpoint()
        except TrackingError as error:
            print(f"MLflow takes nothing now ({error}); it is kept here and sent later.", flush=True)
            self._not_before = time.monotonic() + AFTER_FAILURE_S

    def finish(self) -> None:
        """Send what is left of the curve."""
        self._send_curve()

    def drop_checkpoints(self) -> None:
        """Once the outs are committed, no one goes on from here."""
        self._refer_to([])

    def _send_curve(self) -> None:
        self._curve.send(lambda first: spool.rows(self._folder, first))

    def _send_checkpoint(self) -> None:
        found = sorted(paths.CHECKPOINTS.glob("*/*.npz"), key=lambda path: path.stat().st_mtime_ns)
        names = [path.relative_to(paths.CHECKPOINTS).as_posix() for path in found]
        if not names or names[-1] in self._sent or not NAME.fullmatch(names[-1]):
            return
        held = self._folder / "checkpoint"  # so that it stays while the stage may remove its name
        held.unlink(missing_ok=True)
        os.link(found[-1], held)
        self._store.upload(self._run, f"{FOLDER}/{names[-1]}", held)
        self._refer_to([names[-1], *self._sent][: checkpoints.KEEP])
        self._next_checkpoint = time.monotonic() + CHECKPOINT_EVERY_S

    def _refer_to(self, names: list[str]) -> None:
        self._store.tag(self._run, {TAG: json.dumps(names)})
        for old in (name for name in self._sent if name not in names):
            self._store.remove(self._run, f"{FOLDER}/{old}")
        self._sent = names

    def _fetched(self, name: str) -> bool:
        expected = Path(name).stem.split("-")[1]
        try:
            with artifacts.atomic(paths.CHECKPOINTS / name) as temporary:
                self._store.download(self._run, f"{FOLDER}/{name}", temporary)
                found = artifacts.sha256_file(temporary)
                if found != expected:
                    raise MissingInStoreError(f"Its sha256 is {found}.")
        except MissingInStoreError as error:
            print(f"Checkpoint {name} of run {self._run} is damaged or missing: going back before it. {error}")
            return False
        return True
