"""Takes a clone that ships with the package instead of learning it: byte for byte what `clone` or `improve` left."""

import shutil
from pathlib import Path

from pipeline.run import artifacts
from pipeline.run.job import Job
from pipeline.run.params import plain
from pipeline.track.tracking import Run


def main(job: Job, run: Run) -> None:
    (out,), section = map(Path, job.flow.outs), job.params.clone
    (shipped,) = (Path(dep) for dep in job.flow.deps if dep.endswith(".npz"))
    rule, wanted = artifacts.read_rule(shipped), {"name": "clone", **plain(section.form), "rate": section.rate}
    if rule.learner != wanted:
        raise ValueError(
            f"{shipped} was learned as {rule.learner}, and this profile's section clone says {wanted}: take over these "
            "settings, or name this seed in items.learned_clones."
        )
    with artifacts.atomic(out) as temporary:
        shutil.copyfile(shipped, temporary)
    print(f"{shipped.stem} is from {rule.provenance['meta_steps']} meta-steps elsewhere; its card: {shipped.stem}.md")
