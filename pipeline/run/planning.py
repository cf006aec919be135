"""`python -m pipeline plan` writes the plan of every item of the profile in this folder: the stage `plan`."""

import sys
from pathlib import Path

from pipeline.run import job as provenance
from pipeline.run import paths
from pipeline.run.artifacts import write_json
from pipeline.run.flow import ARTIFACTS, Flow
from pipeline.run.plan import Tree


def main(words: list[str]) -> None:
    """Write the plans, and make the folders that items read even if no item of this profile leaves anything there."""
    if words:
        sys.exit(f"Usage: python -m pipeline plan, without further words; got {words}.")
    flow, own, tree = Flow(), provenance.read(), Tree(paths.ROOT)
    items = [item for item in flow.items() if item.stage != "plan"]
    for item in items:
        made, _ = provenance.planned(item, own, tree)
        write_json(item.plan, made)
    for folder in {dep for item in items for dep in item.deps if Path(dep).parent == ARTIFACTS}:
        Path(folder).mkdir(parents=True, exist_ok=True)
