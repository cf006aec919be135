"""What datasets.lock says, for those who read no set."""

from pathlib import Path

from pipeline.data.sources import Lock, LockedSet
from pipeline.run import paths
from pipeline.run.params import shaped


def sets(path: Path | None = None) -> dict[str, LockedSet]:
    """The sets of datasets.lock, or of such a file, by name.

    Raises:
      ValueError: it is not as it must be.
    """
    path = path or paths.DATASETS_LOCK
    return shaped(Lock, path.read_bytes(), path, "take that of git").root
