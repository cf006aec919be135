"""What an auditor reads of a run beside its manifest: where its deps are from, its data sets, its rule, its verdicts.

Runs are tied by content: a dep is from the newest finished run that left a file of the same sha256. All of it may be
written again, with the same outcome.
"""

import json
import urllib.parse
from pathlib import Path
from typing import Any

from pipeline.run import paths
from pipeline.run.flow import PLAN
from pipeline.track.store import Store
from pipeline.track.tracking import PART_OF

MADE_FROM = "made_from."  # a tag for each dep that a run of this store has left: the id of that run
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"  # MLflow shows it as Markdown, so the runs can be clicked
ABOUT_LETTERS = 4900  # of a model's description; MLflow's databases take 5,000
NOTE_LETTERS = 7900  # MLflow would cut 8,000, in the middle of a link
CONTEXTS = {"artifacts/train_data": "training", "artifacts/test_data": "evaluation"}
ZOO = "vsml/zoo"
RELEASED = "released"  # the alias of a rule that ships with the package
HOW_TO_USE = "`mlflow.pyfunc.load_model` loads it in this repository's environment; `help(vsml.pyfunc)` says how."


def describe(store: Store, run: str, manifest: dict[str, Any], profile: Path, repository: Path = paths.ROOT) -> None:
    """Tag a run and log its inputs by its manifest; its outs lie under `profile`, a shipped rule under `repository`."""
    deps, tags = manifest["deps"], {}
    # Of what stages leave, and of rules that ship. (A plan no tag could name: MLflow admits no @ there.)
    made = [name for name in deps if left_by_a_run(name) or name.startswith(f"{ZOO}/")]
    origins = {digest: store.having(digest) for digest in sorted({deps[name] for name in made})}
    note = ["Made from", ""]
    for name in made:
        if (origin := origins[deps[name]]) is not None:
            tags[f"{MADE_FROM}{name}"] = origin[0]
            note.append(f"- [{name}]({store.link(origin[0])})")
    drawn = [name for name in manifest["outs"] if name.endswith(".png")]
    if tags or drawn:
        kept = [len("\n".join(note[:lines])) <= NOTE_LETTERS for lines in range(1, len(note) + 1)].count(True)
        left_out = [f"- and {len(note) - kept} more, which its tags name"] if kept < len(note) else []
        # MLflow shows a figure where its text names the address from which its pages fetch files.
        place = f"get-artifact?run_uuid={run}&path="
        shown = [f"![{name}]({place}outs/{urllib.parse.quote(name)})" for name in drawn]
        tags[NOTE] = "\n".join([*shown, *note[:kept], *left_out])
    uses = {name: CONTEXTS.get(Path(name).parent.as_posix()) for name in deps}
    if data := {name: (deps[name], use) for name, use in uses.items() if use is not None}:
        store.log_data(run, data)
    if metrics := manifest.get("metrics"):
        store.log_metrics(run, metrics)
    item, about = "-".join(manifest["item"]), {"stage": manifest["stage"], "fingerprint": manifest["fingerprint"]}
    match manifest["stage"]:
        case "meta_train":
            (rule,) = (name for name in manifest["outs"] if name.endswith("/rule.npz"))
            words = f"Meta-trained as `{item}`; the run that made it has its parameters and curve. {HOW_TO_USE}"
            store.register(
                f"learned.{item}", run, profile / rule, about | {"sha256": manifest["outs"][rule]}, None, words
            )
        case "zoo_test":
            (rule,) = (name for name in deps if name.startswith(f"{ZOO}/") and name.endswith(".npz"))
            about |= {"sha256": deps[rule]} | {name: str(value) for name, value in manifest.get("metrics", {}).items()}
            card = (paths.ROOT / rule).with_suffix(".md").read_text(encoding="utf-8")
            words = f"{HOW_TO_USE}\n\n{card}"
            if len(words) > ABOUT_LETTERS:  # cut after a line
                words = "\n".join([*words[:ABOUT_LETTERS].split("\n")[:-1], f"\nThe rest stands beside {rule}."])
            store.register(f"shipped.{item}", run, repository / rule, about, RELEASED, words)
        case "report":
            tags |= verdicts(profile)
        case "repro":
            for child in store.find({PART_OF: manifest["fingerprint"]}):
                store.tag(child.id, {PARENT: run})
    store.tag(run, tags)


def left_by_a_run(name: str) -> bool:
    """Whether a run leaves what has this name in a manifest: it is an artifact, and no plan, which no run makes."""
    return name.startswith(f"{paths.ARTIFACTS}/") and Path(name).parent != PLAN


def verdicts(profile: Path) -> dict[str, str]:
    """The verdicts of the report in a folder, as tags."""
    judged = json.loads((profile / paths.report("claims.json")).read_text(encoding="utf-8"))
    return {f"claim.{claim['id']}": claim["verdict"] for claim in judged["claims"]}
