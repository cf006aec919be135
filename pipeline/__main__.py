"""`python -m pipeline STAGE ITEM…` runs one item of a stage in the folder of a profile; `dvc repro` runs them all."""

import importlib
import os
import sys
from pathlib import Path

from pipeline.cluster.execute import execute
from pipeline.run import paths
from pipeline.run.job import stages

# Two virtual devices on every machine, so that sums are split in the same way whatever the number of cores; and
# vectors as wide as the machine has, where XLA would stop at half of AVX-512.
XLA_FLAGS = {"--xla_force_host_platform_device_count": "2", "--xla_cpu_prefer_vector_width": "512"}
TOOLS = {  # by the word of the command line: the module that has its `main`, and what it does
    "audit": ("audit", "prove every figure of a profile, up to the data's publishers"),
    "deploy": ("cluster.deploy", "apply the manifests of k8s/ to a cluster"),
    "doctor": ("cluster.doctor", "find out whether the cluster and MLflow can run stages, and how to mend what cannot"),
    "evaluate": ("studies.learning.evaluate", "run a learned rule on your own data"),
    "evidence": ("audit.evidence", "pack what proves the figures into a folder that stands alone"),
    "jobs": ("cluster.jobs", "list, follow or cancel what runs on the cluster"),
    "plan": ("run.job", "write what decides the outs of each item of a profile: the first stage"),
    "readme": ("studies.readme", "bring results into docs/, README.md and the pages of the studies"),
    "replay": ("audit.replay", "run an item again as it ran, and say how alike the outs are"),
    "repro": ("run.repro", "run all that is out of date, several items at once"),
    "ship": ("studies.ship", "put a learned rule into vsml/zoo"),
    "uploads": ("track.uploads", "take the runs that wait on this machine to MLflow"),
    "verify": ("audit.verify", "check such a folder, without a network"),
    "whence": ("audit.whence", "say where a figure, a page or a table comes from, wherever it was found"),
}


def xla_flags() -> str:
    """XLA_FLAGS as they should be before jax is imported: the user's, and ours where the user has not set them."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    known = {flag.partition("=")[0] for flag in flags}
    return " ".join(flags + [f"{name}={value}" for name, value in XLA_FLAGS.items() if name not in known])


def main(words: list[str]) -> None:
    os.environ["XLA_FLAGS"] = xla_flags()
    # Compiled programs are kept for the next seed and the next repro. Who can write there can run code as this user,
    # so it is the repository's own folder, and never a shared one unless the user says so.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(paths.COMPILED))
    # jaxlib 0.10.1 calls each kept program foreign, in a line of a thousand characters: it compares two tuning hints
    # with the features of the machine (github.com/openxla/xla/issues/44565). Errors come as exceptions all the same.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not words or (words[0] not in TOOLS and words[0] not in stages()):
        tools = "".join(f"\n  {name}: {purpose}" for name, (_, purpose) in TOOLS.items())
        sys.exit(f"Usage: python -m pipeline WORD …, where WORD is a stage ({', '.join(stages())}) or:{tools}")
    word, *item = words
    if word in TOOLS:
        importlib.import_module(f"pipeline.{TOOLS[word][0]}").main(item)
    else:
        execute(word, tuple(item))


def run_own_code(words: list[str]) -> None:
    """Start again with the code of the checkout that the current folder lies in, if that is another one than ours.

    An environment runs the checkout that it was made in, whatever folder is the current one: in a profile of another
    worktree, or of the copy that `dvc exp run --temp` makes, results of one code would bear the commit of another.
    """
    here = Path.cwd()
    own = next((one for one in (here, *here.parents) if (one / "pipeline/__main__.py").is_file()), paths.ROOT)
    if (own / "pipeline").resolve() != paths.ROOT / "pipeline" and os.environ.get("VSML_CODE") != str(own):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(own), os.environ.get("PYTHONPATH"))))
        os.environ["VSML_CODE"] = str(own)  # in vain, if something stands before PYTHONPATH: `own_code` says so
        os.execv(sys.executable, [sys.executable, "-m", "pipeline", *words])


if __name__ == "__main__":
    run_own_code(sys.argv[1:])
    main(sys.argv[1:])
