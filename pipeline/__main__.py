"""`python -m pipeline STAGE ITEM…` runs one item of a stage in the folder of a profile; `dvc repro` runs them all."""

import importlib
import os
import sys

from pipeline import paths
from pipeline.executors import execute
from pipeline.flow import STAGES

# Two virtual devices on every machine, so that sums are split in the same way whatever the number of cores.
DEVICES = "--xla_force_host_platform_device_count"
TOOLS = {
    "evaluate": "run a learned rule on your own data",
    "jobs": "list, follow or cancel what runs on the cluster",
    "readme": "write the results block of README.md",
    "repro": "run all that is out of date, several items at once",
    "ship": "put a learned rule into vsml/zoo",
}


def main(words: list[str]) -> None:
    if DEVICES not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {DEVICES}=2".strip()
    # Compiled programs are kept for the next seed and the next repro. Who can write there can run code as this user,
    # so it is the repository's own folder, and never a shared one unless the user says so.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(paths.COMPILED))
    # jaxlib 0.10.1 calls each kept program foreign, in a line of a thousand characters: it compares two tuning hints
    # with the features of the machine (github.com/openxla/xla/issues/44565). Errors come as exceptions all the same.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not words or words[0] not in (*STAGES, *TOOLS):
        tools = "".join(f"\n  {name}: {purpose}" for name, purpose in TOOLS.items())
        sys.exit(f"Usage: python -m pipeline WORD …, where WORD is a stage ({', '.join(STAGES)}) or:{tools}")
    word, *item = words
    if word in TOOLS:
        importlib.import_module(f"pipeline.{word}").main(item)
        return
    execute(word, tuple(item))


if __name__ == "__main__":
    main(sys.argv[1:])
