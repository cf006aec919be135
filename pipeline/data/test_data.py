"""The test split of a data set, checked and left as a table of raw features and labels: for meta-tests."""

from pipeline.data import sources
from pipeline.run import artifacts, paths
from pipeline.run.job import Job
from pipeline.track.tracking import Run


def main(job: Job, run: Run) -> None:
    (name,) = job.item
    x, y = sources.read(name, "test")
    artifacts.write_table(paths.test_data(name), {"x": x, "y": y}, sources.AXES)
    print(f"{name}: {len(y)} examples of {len(set(y.tolist()))} classes to test on")
