"""The stages `train_data` and `test_data`: a split of a data set, checked, as a table of features and labels."""

from typing import TYPE_CHECKING

from pipeline.data import sources
from pipeline.run.artifacts import write_table

if TYPE_CHECKING:
    from pipeline.run.job import Job
    from pipeline.track.tracking import Run


def main(job: "Job", run: "Run") -> None:
    (name,), (out,), split = job.item, job.flow.outs, job.stage.removesuffix("_data")
    x, y = sources.read(name, split)
    write_table(out, {"x": x, "y": y}, sources.AXES)
    print(f"{name}: {len(y)} examples of {len(set(y.tolist()))} classes in the {split} split")
