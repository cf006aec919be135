"""A data set, checked, split and left as a table of raw features and labels."""

from pipeline import artifacts, paths, sources
from pipeline.provenance import Job
from pipeline.tracking import Run


def main(job: Job, run: Run) -> None:
    (name,) = job.item
    split = sources.read(name)
    axes = {"x_train": ("example", "feature"), "y_train": ("example",)}
    axes |= {"x_test": ("example", "feature"), "y_test": ("example",)}
    artifacts.write_table(paths.data(name), split._asdict(), axes)
    print(f"{name}: {len(split.y_train)} examples to meta-train on, {len(split.y_test)} to test on")
