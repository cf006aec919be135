"""What an auditor reads of a run beside its manifest: where its deps are from, its data sets, its rule, its verdicts.

Runs are tied by content: a dep is from the newest finished run that left a file of the same sha256. A figure, and the
report, are named by the runs that they are made from, too: so each number leads to where it is shown. All of it may be
written again, with the same outcome.
"""

import functools
import json
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.run import paths
from pipeline.run.flow import PLAN
from pipeline.track.store import Found, Store
from pipeline.track.tracking import PART_OF

MADE_FROM = "made_from."  # a tag for each dep that a run of this store has left: the id of that run
USED_BY = "used_by."  # a tag for each figure and report that is made from this run: the id of the newest
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"  # MLflow shows it as Markdown, so the runs can be clicked
USERS = "Used by"  # begins a note
ABOUT_LETTERS, NOTE_LETTERS, ROOM = 5000, 8000, 100  # what MLflow's databases take, and what is kept for the last line
CONTEXTS = {"artifacts/train_data": "training", "artifacts/test_data": "evaluation"}
ZOO = "vsml/zoo"
RELEASED = "released"  # the alias of a rule that ships with the package
HOW_TO_USE = "`mlflow.pyfunc.load_model` loads it in this repository's environment; `help(vsml.pyfunc)` says how."


def describe(store: Store, run: str, manifest: dict[str, Any], profile: Path, repository: Path = paths.ROOT) -> None:
    """Tag a run and log its inputs by its manifest; its outs lie under `profile`, a shipped rule under `repository`."""
    deps, tags = manifest["deps"], {}
    # Of what stages leave, and of rules that ship. (A plan no tag could name: MLflow admits no @ there.)
    made = [name for name in deps if left_by_a_run(name) or name.startswith(f"{ZOO}/")]
    by_digest = {digest: store.maker(digest) for digest in sorted({deps[name] for name in made})}
    origins = {name: found for name in made if (found := by_digest[deps[name]]) is not None}
    # MLflow shows a figure where its text names the address from which its pages fetch files.
    place = f"get-artifact?run_uuid={run}&path=outs/"
    note = [f"![{name}]({place}{urllib.parse.quote(name)})\n" for name in manifest["outs"] if name.endswith(".png")]
    if origins:
        tags |= {f"{MADE_FROM}{name}": origin.id for name, origin in origins.items()}
        note += ["Made from\n", *(f"- [{name}]({store.link(origin.id)})" for name, origin in origins.items())]
    if note:
        tags[NOTE] = used(store, store.get(run).tags | {NOTE: "\n".join(note)})
    uses = {name: CONTEXTS.get(Path(name).parent.as_posix()) for name in deps}
    if data := {name: (deps[name], use) for name, use in uses.items() if use is not None}:
        store.log_data(run, data)
    if metrics := manifest.get("metrics", {}):
        store.log_metrics(run, metrics)
    item, about = "-".join(manifest["item"]), {"stage": manifest["stage"], "fingerprint": manifest["fingerprint"]}
    tell = functools.partial(_tell, store, run, " ".join((manifest["stage"], *manifest["item"])))
    match manifest["stage"]:
        case "meta_train":
            (rule,) = (name for name in manifest["outs"] if name.endswith("/rule.npz"))
            words = f"Meta-trained as `{item}`; the run that made it has its parameters and curve. {HOW_TO_USE}"
            about |= {"sha256": manifest["outs"][rule]}
            store.register(f"learned.{item}", run, profile / rule, about, None, words)
        case "meta_test":
            (rule,) = (name for name in deps if name.endswith("/rule.npz"))
            store.rate(f"learned.{item}", deps[rule], metrics)
            tell([origins[rule]] if rule in origins else [])
        case "zoo_test":
            (rule,) = (name for name in deps if name.startswith(f"{ZOO}/") and name.endswith(".npz"))
            card = (paths.ROOT / rule).with_suffix(".md").read_text(encoding="utf-8")
            words = cut(f"{HOW_TO_USE}\n\n{card}", ABOUT_LETTERS, "\n", f"\nThe rest stands beside {rule}.")
            store.register(item, run, repository / rule, about | {"sha256": deps[rule]}, RELEASED, words)
            store.rate(item, deps[rule], metrics)
        case "figure":
            tell([*origins.values()])
        case "report":
            tags |= verdicts(profile)
            tell([*origins.values()])
        case "repro":
            for child in store.find({PART_OF: manifest["fingerprint"]}):
                store.tag(child.id, {PARENT: run})
    store.tag(run, tags)


def used(store: Store, tags: Mapping[str, str]) -> str:
    """The note among the tags of a run, led by links to what is made from it, which these tags name too."""
    names = sorted(key.removeprefix(USED_BY) for key in tags if key.startswith(USED_BY))
    users = ", ".join(f"[{name}]({store.link(tags[USED_BY + name])})" for name in names)
    note = tags.get(NOTE, "")
    first, _, rest = note.partition("\n\n")
    parts = [f"{USERS} {users}" if users else "", rest if first.startswith(USERS) else note]
    return cut("\n\n".join(filter(None, parts)), NOTE_LETTERS, ")", "\n- and more, which its tags name")


def cut(text: str, letters: int, after: str, rest: str) -> str:
    """A text of at most so many letters: it, or what of it ends `after` this, and where the rest is."""
    return text if len(text) <= letters else "".join([*text[: letters - ROOM].rpartition(after)[:2], rest])


def _tell(store: Store, run: str, name: str, origins: list[Found]) -> None:
    """Have runs name one that is made from them, in a tag and first in their notes, also where another tells them now.

    Whoever writes a note looks again after that, so the last one has seen all tags.
    """
    own = {f"{USED_BY}{name}": run}
    told = [(one, own | {NOTE: used(store, one.tags | own)}) for one in {one.id: one for one in origins}.values()]
    while late := [(one.id, tags) for one, tags in told if not tags.items() <= one.tags.items()]:
        for origin, tags in late:
            store.tag(origin, tags)
        told = [(one, own | {NOTE: used(store, one.tags)}) for one in store.find(own)]


def left_by_a_run(name: str) -> bool:
    """Whether a run leaves what has this name in a manifest: it is an artifact, and no plan, which no run makes."""
    return name.startswith(f"{paths.ARTIFACTS}/") and Path(name).parent != PLAN


def verdicts(profile: Path) -> dict[str, str]:
    """The verdicts of the report in a folder, as tags."""
    judged = json.loads((profile / paths.report("claims.json")).read_text(encoding="utf-8"))
    return {f"claim.{claim['id']}": claim["verdict"] for claim in judged["claims"]}
