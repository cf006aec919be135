"""Learning algorithms that are learned."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vsml.zoo import Rule


def load(name: str) -> "Rule":
    """A learned rule that ships with the package: see `vsml.zoo`.

    Raises:
      ValueError: there is none of that name.
    """
    from vsml import zoo  # not before it is asked for: no stage depends on the zoo

    return zoo.load(name)
