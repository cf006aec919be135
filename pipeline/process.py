"""A stage lives no longer than the `dvc repro` that started it."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, however it ends.

    SIGTERM to `dvc repro` leaves its child running, and what an orphan writes would mix with the work of the next
    repro. SIGKILL is safe: outputs are written atomically and a run goes on from its checkpoint. The parent must be
    `dvc repro` itself: the commands in dvc.yaml begin with `exec`, since some shells would stay in between. Only Linux
    offers this; elsewhere it does nothing, and whoever kills `dvc repro` must kill the stage too.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_PDEATHSIG) failed: {os.strerror(number)}")
    if os.getppid() != parent:  # it died before the kernel was told to watch it
        sys.exit("The process that started this stage is gone; run `dvc repro` again.")
