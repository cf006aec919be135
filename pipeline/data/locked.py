"""What datasets.lock says, for those who read no set."""

from pydantic import ValidationError

from pipeline.data.sources import Lock, LockedSet
from pipeline.run import paths


def sets() -> dict[str, LockedSet]:
    """The sets of datasets.lock by name.

    Raises:
      ValueError: it is not as it must be.
    """
    try:
        return Lock.model_validate_json(paths.DATASETS_LOCK.read_bytes()).root
    except ValidationError as error:
        first = error.errors()[0]
        wrong = f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg'].lower()}"
        raise ValueError(f"{paths.DATASETS_LOCK} is not as it must be ({wrong}): take that of git.") from None
