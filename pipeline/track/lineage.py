"""What an auditor reads of a run beside its manifest: where its deps are from, its data sets, its rule, its verdicts.

Runs are tied by content: a dep is from the newest finished run that left a file of the same sha256. All of it may be
written again, with the same outcome.
"""

import json
from pathlib import Path
from typing import Any

from pipeline.run import paths
from pipeline.run.flow import PLAN
from pipeline.track.store import Store

MADE_FROM = "made_from."  # a tag for each dep that a run of this store has left: the id of that run
NOTE = "mlflow.note.content"  # MLflow shows it as Markdown, so the runs can be clicked
CONTEXTS = {"artifacts/train_data": "training", "artifacts/test_data": "evaluation"}
ZOO = "vsml/zoo"
RELEASED = "released"  # the alias of a rule that ships with the package
RULE = "rule/rule.npz"


def describe(store: Store, run: str, manifest: dict[str, Any], profile: Path, repository: Path = paths.ROOT) -> None:
    """Tag a run and log its inputs by its manifest; its outs lie under `profile`, a shipped rule under `repository`."""
    deps, origins = manifest["deps"], _origins(store, manifest["deps"])
    tags = {f"{MADE_FROM}{name}": origin for name, origin in origins.items()}
    if origins:
        tags[NOTE] = "Made from\n\n" + "\n".join(
            f"- [{name}]({store.link(origin)})" for name, origin in origins.items()
        )
    data = {name: digest for name, digest in deps.items() if Path(name).parent.as_posix() in CONTEXTS}
    if data:
        store.log_data(run, data, {name: CONTEXTS[Path(name).parent.as_posix()] for name in data})
    match manifest["stage"]:
        case "meta_train":
            (rule,) = (name for name in manifest["outs"] if name.endswith("/rule.npz"))
            _register(store, run, manifest, "learned", profile / rule, manifest["outs"][rule], None)
        case "zoo_test":
            (rule,) = (name for name in deps if name.startswith(f"{ZOO}/") and name.endswith(".npz"))
            _register(store, run, manifest, "shipped", repository / rule, deps[rule], RELEASED)
        case "report":
            judged = json.loads((profile / paths.report("claims.json")).read_text(encoding="utf-8"))
            tags |= {f"claim.{claim['id']}": claim["verdict"] for claim in judged["claims"]}
    store.tag(run, tags)


def _origins(store: Store, deps: dict[str, str]) -> dict[str, str]:
    """The run that each dep is from, where the store has one: of what stages leave, and of rules that ship.

    Of a plan there is none: no run makes it. (Nor could a tag name it: MLflow admits no @ there.)
    """
    made = {name: digest for name, digest in deps.items() if Path(name).parent != PLAN}
    wanted = {name: digest for name, digest in made.items() if name.startswith((f"{paths.ARTIFACTS}/", f"{ZOO}/"))}
    found = {digest: store.having(digest) for digest in sorted(set(wanted.values()))}
    return {name: at[0] for name, digest in wanted.items() if (at := found[digest]) is not None}


def _register(
    store: Store, run: str, manifest: dict[str, Any], kind: str, path: Path, digest: str, alias: str | None
) -> None:
    """Make a rule a version of the model `learned.vsml-0` or `shipped.mnist`, once for the same bytes."""
    name = f"{kind}.{'-'.join(manifest['item'])}"
    tags = {"sha256": digest, "stage": manifest["stage"], "fingerprint": manifest["fingerprint"]}
    if not store.registered(name, digest):
        store.upload(run, RULE, path)
    store.register(name, run, Path(RULE).parent.as_posix(), tags, alias)
