"""Experiments by leaf: each states only what differs from the defaults, or from another experiment."""

from types import UnionType
from typing import Any, Union, get_args, get_origin

from pipeline.run.params import Section


def overlaid(tree: Any, kind: type[Section], where: str) -> Any:
    """Complete the `experiments` of a tree that was read from YAML, which are sections of one `kind`.

    An experiment is laid over `defaults`, or over the experiment that its key `like` names. What is malformed stays as
    it is: the check that follows refuses it by its name.

    where: the path to the experiments, for errors.

    Raises:
      ValueError: `like` names none of the experiments, or leads back to where it came from.
    """
    if not isinstance(tree, dict):
        return tree
    defaults, experiments = tree.get("defaults", {}), tree.get("experiments")
    if not isinstance(defaults, dict) or not isinstance(experiments, dict):
        return tree
    shared = {name: section for name, section in defaults.items() if name in kind.model_fields}

    def complete(name: str, *heirs: str) -> Any:
        own = experiments[name]
        if not isinstance(own, dict) or "like" not in own:
            return merged(kind, shared, own)
        other = own["like"]
        if not isinstance(other, str) or other not in experiments:
            known = sorted(map(str, experiments))
            raise ValueError(
                f"{where}.{name}.like (={other!r}) is none of {where} {known}: name one of them or remove it."
            )
        if other in (name, *heirs):
            chain = " -> ".join(map(str, (*reversed(heirs), name, other)))
            raise ValueError(
                f"{where}.{name}.like (={other!r}) leads back to itself ({chain}): remove one of these `like`."
            )
        return merged(kind, complete(other, name, *heirs), {key: value for key, value in own.items() if key != "like"})

    return tree | {"experiments": {name: complete(name) for name in experiments}}


def merged(annotation: Any, base: Any, own: Any) -> Any:
    """`own` laid over `base`, both values of a field with this annotation.

    Sections merge leaf by leaf. All else replaces what was there: a section of another kind, a list, a table whose keys
    are free.
    """
    section = _section(annotation, base, own)
    if section is None:
        return own
    fields = section.model_fields
    return base | {
        name: merged(fields[name].annotation, base[name], value) if name in fields and name in base else value
        for name, value in own.items()
    }


def _section(annotation: Any, base: Any, own: Any) -> type[Section] | None:
    """The kind of section that both are, or None. Sections that have a `name` are of the same kind if it is equal."""
    if not isinstance(base, dict) or not isinstance(own, dict) or own.get("name", base.get("name")) != base.get("name"):
        return None
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    sections = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)]
    if len(sections) > 1:  # told apart by the name that each admits
        sections = [kind for kind in sections if base.get("name") in get_args(kind.model_fields["name"].annotation)]
    return sections[0] if sections else None
