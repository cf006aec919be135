"""The train split of a data set, checked and left as a table of raw features and labels: for meta-training."""

from pipeline.data import sources
from pipeline.run import artifacts, paths
from pipeline.run.job import Job
from pipeline.track.tracking import Run


def main(job: Job, run: Run) -> None:
    (name,) = job.item
    x, y = sources.read(name, "train")
    artifacts.write_table(paths.train_data(name), {"x": x, "y": y}, sources.AXES)
    print(f"{name}: {len(y)} examples of {len(set(y.tolist()))} classes to meta-train on")
