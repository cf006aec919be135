"""Where the time of a profile went when `make repro` last ran each item. Measures nothing."""

import json
import sys
from pathlib import Path

import numpy as np

from pipeline.run import phases
from pipeline.run.flow import Flow
from pipeline.run.repro import kind


def table(each: bool = False) -> str:
    """Of the items of the profile in this folder that ran under `make repro`: seconds by stage, as Markdown.

    each: by experiment, baseline and the like, with all of its seeds in one row.
    """
    rows: dict[str, list[list[float]]] = {}
    for item in Flow().items():
        found = json.loads(path.read_text()) if (path := phases.file(item.name)).exists() else {}
        if phases.STARTING in found:
            parts = (phases.STARTING, phases.COMPILING, phases.COMPUTING, phases.CPU)
            rows.setdefault(kind(item.name) if each else item.stage, []).append([found[part] for part in parts])
    if not rows:
        sys.exit(f"{Path.cwd()} has no item whose time is known: `make repro` notes it.")
    heads = ("items of" if each else "stage", "items", "starting: median, most", "compiling", "computing", "CPU")
    lines = [f"| {' | '.join(heads)} |", f"| :-- {'| --: ' * (len(heads) - 1)}|"]
    every = np.concatenate([np.array(own) for own in rows.values()])
    for stage, own in [*((name, np.array(own)) for name, own in rows.items()), ("all", every)]:
        starting, *others = own.T
        cells = [
            f"{len(own)}",
            f"{np.median(starting):.1f}, {starting.max():.1f}",
            *(f"{one.sum():.0f}" for one in others),
        ]
        lines.append(f"| {' | '.join([stage, *cells])} |")
    share = 100 * every[:, 1].sum() / every[:, :3].sum()
    return "\n".join(
        [*lines, "", f"Seconds; compiling is {share:.0f} % of all that items took, CPU is without starting."]
    )
