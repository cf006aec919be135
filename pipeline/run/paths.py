"""Where things lie: artifacts under the current folder, which is the profile's, the rest under the repository.

VSML_STATE names another folder for what is kept between runs, where the repository itself is read-only.
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATE = Path(os.environ.get("VSML_STATE") or ROOT).absolute()
CHECKPOINTS = STATE / ".checkpoints"
COMPILED = STATE / ".compiled"
DOWNLOADS = STATE / ".downloads"
JOBS = STATE / ".jobs"
RUNS = STATE / ".runs"
MLFLOW_DATABASE = STATE / "mlflow.db"
MLFLOW_ARTIFACTS = STATE / "mlartifacts"
DATASETS_LOCK = ROOT / "datasets.lock"
CLAIMS = ROOT / "claims.yaml"

PARAMS = Path("params.yaml")
ARTIFACTS = Path("artifacts")


def train_data(name: str) -> Path:
    return ARTIFACTS / "train_data" / f"{name}.npz"


def test_data(name: str) -> Path:
    return ARTIFACTS / "test_data" / f"{name}.npz"


def meta_train(experiment: str, seed: int | str) -> Path:
    return ARTIFACTS / "meta_train" / f"{experiment}-{seed}"


def rule(experiment: str, seed: int | str) -> Path:
    return meta_train(experiment, seed) / "rule.npz"


def curve(experiment: str, seed: int | str) -> Path:
    return meta_train(experiment, seed) / "curve.npz"


def curve_csv(experiment: str, seed: int | str) -> Path:
    return meta_train(experiment, seed) / "curve.csv"


def meta_test(experiment: str, seed: int | str) -> Path:
    return ARTIFACTS / "meta_test" / f"{experiment}-{seed}.npz"


def baseline(name: str) -> Path:
    return ARTIFACTS / "baseline" / f"{name}.npz"


def introspect(experiment: str, seed: int | str) -> Path:
    return ARTIFACTS / "introspect" / f"{experiment}-{seed}.npz"


def unify() -> Path:
    return ARTIFACTS / "unify" / "unification.npz"


def clone(seed: int | str) -> Path:
    return ARTIFACTS / "clone" / f"{seed}.npz"


def improve(seed: int | str) -> Path:
    return ARTIFACTS / "improve" / f"{seed}.npz"


def clone_test(seed: int | str) -> Path:
    return ARTIFACTS / "clone_test" / f"{seed}.npz"


def zoo_test(name: str) -> Path:
    return ARTIFACTS / "zoo_test" / f"{name}.npz"


def feedback_train(experiment: str, seed: int | str) -> Path:
    return ARTIFACTS / "feedback_train" / f"{experiment}-{seed}"


def feedback_rule(experiment: str, seed: int | str) -> Path:
    return feedback_train(experiment, seed) / "rule.npz"


def feedback_curve(experiment: str, seed: int | str) -> Path:
    return feedback_train(experiment, seed) / "curve.npz"


def feedback_test(experiment: str, seed: int | str) -> Path:
    return ARTIFACTS / "feedback_test" / f"{experiment}-{seed}.npz"


def figure(name: str, ending: str = "png") -> Path:
    return ARTIFACTS / "figure" / f"{name}.{ending}"


def report(name: str = "index.html") -> Path:
    return ARTIFACTS / "report" / name


def recall_train(experiment: str, seed: int | str) -> Path:
    return ARTIFACTS / "recall_train" / f"{experiment}-{seed}.npz"


def recall_test(experiment: str, seed: int | str) -> Path:
    return ARTIFACTS / "recall_test" / f"{experiment}-{seed}.npz"
