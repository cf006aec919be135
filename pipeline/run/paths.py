"""Where things lie: artifacts under the current folder, which is the profile's, the rest under the repository.

VSML_STATE names another folder for what is kept between runs, where the repository itself is read-only. Where a
wheel is installed and there is no repository, that is the user's cache.
"""

import os
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vsml"
INSTALLED = ROOT.name in ("site-packages", "dist-packages")
# `dvc exp run --temp` and the queue work in a copy of the workspace, which vanishes at the end: runs and checkpoints do
# not, and all copies share what is compiled and downloaded.
WORKSPACE = str(ROOT).partition(f"{os.sep}.dvc{os.sep}tmp{os.sep}exps")[0]
STATE = Path(os.environ.get("VSML_STATE") or (CACHE if INSTALLED else WORKSPACE)).absolute()
CHECKPOINTS = STATE / ".checkpoints"
COMPILED = STATE / ".compiled"
DOWNLOADS = STATE / ".downloads"
JOBS = STATE / ".jobs"
SECONDS = JOBS / "seconds.json"  # how long each item took, by profile
RUNS = STATE / ".runs"
MLFLOW_DATABASE = STATE / "mlflow.db"
MLFLOW_ARTIFACTS = STATE / "mlartifacts"
DATASETS_LOCK = ROOT / "datasets.lock"
CLAIMS = ROOT / "claims.yaml"

PARAMS = Path("params.yaml")
ARTIFACTS = Path("artifacts")


def _out(place: str) -> Callable[..., Path]:
    """A function from the words of an item to where one of its outs lies; it takes as many words as `place` has."""
    return lambda *words: ARTIFACTS / (place % words)


train_data = _out("train_data/%s.npz")  # of a set
test_data = _out("test_data/%s.npz")
rule = _out("meta_train/%s-%s/rule.npz")  # of an experiment and a seed
curve = _out("meta_train/%s-%s/curve.npz")
snapshots = _out("meta_train/%s-%s/snapshots.npz")
curve_csv = _out("meta_train/%s-%s/curve.csv")
meta_test = _out("meta_test/%s-%s.npz")
baseline = _out("baseline/%s.npz")
introspect = _out("introspect/%s-%s.npz")
unify = _out("unify/unification.npz")
clone = _out("clone/%s.npz")  # of a seed
improve = _out("improve/%s.npz")
clone_test = _out("clone_test/%s.npz")
zoo_test = _out("zoo_test/%s.npz")  # of a rule
feedback_rule = _out("feedback_train/%s-%s/rule.npz")
feedback_curve = _out("feedback_train/%s-%s/curve.npz")
feedback_test = _out("feedback_test/%s-%s.npz")
recall_train = _out("recall_train/%s-%s.npz")
recall_test = _out("recall_test/%s-%s.npz")


def profile() -> str:
    """The profile in the current folder, by its folder relative to the repository."""
    here = Path.cwd()
    return str(here.relative_to(ROOT)) if here.is_relative_to(ROOT) else str(here)


def figure(name: str, ending: str = "png") -> Path:
    return ARTIFACTS / "figure" / f"{name}.{ending}"


def report(name: str = "index.html") -> Path:
    return ARTIFACTS / "report" / name
