"""The command line: `python -m pipeline STAGE ITEM…` runs an item of a stage, `python -m pipeline TOOL …` the rest.

A tool's `main` takes what ARGUMENTS declares, as keyword arguments. Exit status: 0, done; 1, what was asked for
failed or is not so; 2, wrong use or bad input, and no answer from a tool that judges; 130, Ctrl-C. What our own code
raises is shown as one sentence; a traceback is a fault.
"""

import argparse
import ast
import errno
import importlib
import importlib.metadata
import os
import re
import sqlite3
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pipeline.run import paths
from pipeline.run.nearest import near

SCRIPT = Path(sys.argv[0]).name == "vsml"
PROGRAM, START = ("vsml", sys.argv[:1]) if SCRIPT else ("python -m pipeline", ["-m", "pipeline"])
HELP = ("-h", "--help")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()  # that it may use
LISTED = 12  # items of a stage that an error names
# Two virtual devices on every machine, so that sums are split in the same way whatever the number of cores; vectors as
# wide as the machine has, where XLA would stop at half of AVX-512; and programs compiled in one piece each, which takes
# a tenth less CPU time, since the cores have other items.
XLA_FLAGS = {
    "--xla_force_host_platform_device_count": "2",
    "--xla_cpu_prefer_vector_width": "512",
    "--xla_cpu_parallel_codegen_split_count": "1",
}


def checked(kind: Callable[[str], Any], good: Callable[[str], Any], expected: str) -> dict[str, Any]:
    """The `type` of an argument that must be good, and of which it is said else what is expected."""

    def typed(text: str) -> Any:
        if not good(text):
            raise argparse.ArgumentTypeError(f"{text!r} {expected}")
        return kind(text)

    return {"type": typed}


def at_least(least: int) -> dict[str, Any]:
    expected = f"must be a whole number from {least} on"
    return checked(int, lambda text: text.isdecimal() and int(text) >= least, expected)


PATH, FLAG, ONE = {"type": Path}, {"action": "store_true"}, {"nargs": "?"}
FILE = checked(Path, lambda text: Path(text).is_file(), "is no file")
NUMBER = checked(float, re.compile(r"(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?").fullmatch, "must be a number from 0 on")
PICTURE = checked(Path, lambda text: Path(text).suffix in (".png", ".pdf"), "must end in .png or .pdf")
WORD = checked(str, str.isidentifier, "must be a plain word of letters, digits and underscores")
NO_FLOW = "is no file: name the dvc.yaml of a profile, or go to its folder"
FLOW = checked(Path, lambda text: Path(text).is_file(), NO_FLOW) | {"default": "dvc.yaml"}
NO_PROFILE = "is no profile: name the folder of one, which has a dvc.yaml, or go there"
PROFILE = checked(Path, lambda text: (Path(text) / "dvc.yaml").is_file(), NO_PROFILE) | {"default": "."}
TOOLS = {  # by its word: the module that has its `main`
    "audit": "audit.show",
    "compare": "studies.compare",
    "deploy": "cluster.deploy",
    "doctor": "cluster.doctor",
    "evaluate": "studies.learning.evaluate",
    "evidence": "audit.evidence",
    "jobs": "cluster.jobs",
    "plan": "run.job",
    "readme": "studies.readme",
    "replay": "audit.replay",
    "repro": "run.repro",
    "ship": "studies.ship",
    "uploads": "track.uploads",
    "verify": "audit.verify",
    "whence": "audit.whence",
}
ARGUMENTS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (  # what a `main` is given: name, help, the rest of it
    ("audit", "profile", "its folder (default: this one)", PROFILE | ONE),
    ("audit", "--remote", "read the objects in DVC's default remote as well", FLAG),
    ("audit", "--replay", "then make so many items again, chosen at random", at_least(1)),
    ("audit", "--seed", "of that choice, so that it is made again (default: another one each time)", at_least(0)),
    ("audit", "--json", "write all that was found as JSON to this file", PATH),
    ("audit", "--html", "write it as a page that needs no other file", PATH),
    ("compare", "rev", "the commit that published them (default: HEAD)", {"default": "HEAD"} | ONE),
    ("compare", "--tolerance", "how far a number may be off (default: 0.001)", NUMBER | {"default": 0.001}),
    ("deploy", "overlay", "a folder of k8s/overlays", {}),
    ("deploy", "more", "folders of k8s/components, and NAME=IMAGE", {"nargs": "*"}),
    ("evaluate", "--rule", "the name of a rule that ships, or a rule.npz", {"required": True}),
    ("evaluate", "--data", "an npz, npy, csv or parquet file, or sklearn:wine", {"required": True}),
    ("evaluate", "--labels", "the column of a table (default: y, target, … or the last), or an npy file", {}),
    ("evaluate", "--episodes", "random orders of the data (default: 16)", at_least(1) | {"default": 16}),
    ("evaluate", "--length", "examples of an episode (default: all, at most 2000)", at_least(2)),
    ("evaluate", "--seed", "of the orders and the initial states (default: 0)", at_least(0) | {"default": 0}),
    ("evaluate", "--random-features", "how many to show beside each example", at_least(0) | {"default": 0}),
    ("evaluate", "--out", "png or pdf (default: evaluate.png)", PICTURE | {"default": "evaluate.png"}),
    ("evidence", "folder", "a folder that does not exist yet", PATH),
    ("evidence", "--profile", "its folder (default: this one)", PROFILE),
    ("evidence", "--key", "an SSH key to sign it with, or the .pub of one that ssh-agent holds", FILE),
    ("jobs", "act", "(default: list)", {"choices": ("list", "follow", "cancel"), "default": "list"} | ONE),
    ("jobs", "names", "as much of the name of a Job as no other has", {"nargs": "*"}),
    ("readme", "what", "what `make bench` measured, instead", {"choices": ("bench",), "alone": True} | ONE),
    ("readme", "--check", "compare only", FLAG | {"alone": True}),
    ("replay", "stage", "its stage", {}),
    ("replay", "item", "its words, as for the stage itself", {"nargs": "*"}),
    ("repro", "--jobs", "items at once (default: one a core)", at_least(1) | {"default": CORES}),
    ("repro", "file", "the dvc.yaml of a profile (default: that of this folder)", FLOW | ONE),
    ("ship", "experiment", "of the profile", {}),
    ("ship", "seed", "of its meta-training", at_least(0)),
    ("ship", "name", "what the rule is to be called", WORD),
    ("uploads", "--here", "runs that are meant for other MLflow stores as well", FLAG | {"alone": True}),
    ("uploads", "--stay", "go on as long as there is something to do, for any store", FLAG | {"alone": True}),
    ("verify", "folder", "what `evidence` has packed", PATH),
    ("verify", "--sums", "what the sha256 of its SHA256SUMS must be, as it was published", {}),
    ("verify", "--signers", "ssh-keygen's allowed_signers: one of them must have signed it", FILE),
    ("whence", "file", "a PNG, PDF or HTML file, or any that a stage left", FILE),
)
UNCOMPILED = ("audit", "evidence", "replay")  # run from sources: what was compiled earlier may be of other code
JUDGES = ("audit", "compare", "replay", "verify", "whence")  # whose exit status 1 is a bad verdict, and nothing else


def xla_flags() -> str:
    """XLA_FLAGS as they should be before jax is imported: the user's, and ours where the user has not set them."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    if wrong := [flag for flag in flags if not flag.startswith("--")]:  # of which XLA makes an end without a word
        _exit(2, f"XLA_FLAGS has {wrong[0]!r}, expected flags that begin with --, and no file: write them out.")
    known = {flag.partition("=")[0] for flag in flags}
    return " ".join(flags + [f"{name}={value}" for name, value in XLA_FLAGS.items() if name not in known])


def main(words: list[str] | None = None) -> None:
    """Do what `words` say, or those of the command line. It returns if that succeeded, and exits otherwise."""
    os.environ["XLA_FLAGS"] = xla_flags()
    # Compiled programs are kept for the next seed and the next repro. Who can write there can run code as this user,
    # so it is the repository's own folder, and never a shared one unless the user says so.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(paths.COMPILED))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")  # each item has dozens of small programs
    # jaxlib 0.10.1 calls each kept program foreign, in a line of a thousand characters: it compares two tuning hints
    # with the features of the machine (github.com/openxla/xla/issues/44565). Errors come as exceptions all the same.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    words = sys.argv[1:] if words is None else words
    word, *rest = words or [""]
    try:
        if "--version" in words:
            print(f"vsml {importlib.metadata.version('vsml')}")
        elif word in TOOLS:
            arguments = [(name, more | {"help": about}) for tool, name, about, more in ARGUMENTS if tool == word]
            given = _parsed(word, TOOLS[word], arguments, rest)
            importlib.import_module(f"pipeline.{TOOLS[word]}").main(**given)
        elif word in HELP:
            _help()
        elif word:
            _run(word, rest)
        else:
            _exit(2, f"A word is missing, that of a stage or a tool. See {PROGRAM} --help.")
    except KeyboardInterrupt:
        _exit(130, f"{word}: stopped by Ctrl-C.")
    except BrokenPipeError:  # who reads this has had enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(2 if word in JUDGES else 1)
    except Exception as error:
        lacks = isinstance(error, ModuleNotFoundError) and error.name
        if is_sentence(error):
            sentence = str(error)
        elif lacks and lacks.partition(".")[0] not in ("pipeline", "vsml"):  # the library may be installed alone
            extras = "pip install 'vsml[pipeline]' brings what most commands need, 'vsml[cluster]' what runs Jobs."
            sentence = f"the package {lacks} is missing. {extras}"
        elif getattr(error, "errno", None) in FULL or (isinstance(error, sqlite3.Error) and "full" in str(error)):
            sentence = f"{error}. Is the disk or a quota full? Make room, then run it again."
        elif isinstance(error, sqlite3.Error) and "locked" in str(error):
            sentence = f"{error}: another process writes to a database of DVC or MLflow. Wait, then run it again."
        elif isinstance(error, sqlite3.Error):
            sentence = f"{error}: a database of DVC or MLflow is damaged, or not yours to write. Mend or remove it."
        elif isinstance(error, OSError) and error.filename and (word in TOOLS or _is_state(error.filename)):
            sentence = f"{error.filename} cannot be opened: {error.strerror}."
        elif word in JUDGES:  # no verdict
            traceback.print_exc()
            sys.exit(2)
        else:
            raise
        if word in HELP:
            _exit(0, f"{PROGRAM}: {sentence}")
        unusable = word in JUDGES or (word in TOOLS and isinstance(error, ValueError | OSError))
        _exit(2 if unusable else 1, f"{word}: {sentence}")


def _is_state(name: str | bytes) -> bool:
    """Whether a file is one of those that the pipeline keeps for itself, wherever VSML_STATE says."""
    return Path(os.fsdecode(name)).absolute().is_relative_to(paths.STATE)


def is_sentence(error: Exception) -> bool:
    """Whether our own code raised it, for the user; all else is a fault, which its traceback helps to find."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = any(Path(last.filename).is_relative_to(paths.ROOT / name) for name in ("pipeline", "vsml"))
    return ours and (last.line or "").startswith("raise")


def _help() -> None:
    """Print which tools there are, and then which stages, of which the library alone knows nothing."""
    tools = (f"  {name:<9} {_about(module).splitlines()[0].partition('` ')[2]}" for name, module in TOOLS.items())
    print(f"{PROGRAM} TOOL … says more with --help, where TOOL is one of", *tools, sep="\n", flush=True)
    from pipeline.run.job import stages

    print(f"{PROGRAM} STAGE ITEM… runs an item of a stage in the folder of a profile, where STAGE is one of")
    print(f"  {', '.join(stages())}\n--version is that of the package.")


def _run(stage: str, rest: list[str]) -> None:
    """Run an item of a stage, or say which items there are."""
    # Not above: they take a third of a second, which the help on a tool need not.
    from pipeline.cluster.execute import execute
    from pipeline.run.flow import Flow
    from pipeline.run.job import stages

    if stage not in stages():
        meant = near(stage, (*stages(), *TOOLS))
        _exit(2, f"{stage!r} is neither a stage nor a tool.{meant} See {PROGRAM} --help.")
    of_item = ("item", {"nargs": "*", "help": "its words, as dvc.yaml has them"})
    item = tuple(_parsed(stage, stages()[stage].module.removeprefix("pipeline."), [of_item], rest)["item"])
    if os.environ.get("PIPELINE_EXECUTOR") != "pod":  # which has no profile before it has fetched one
        if not Path("dvc.yaml").is_file():
            _exit(2, f"{stage}: {Path.cwd()} is no profile: go to the folder of one, which has a dvc.yaml.")
        known = {" ".join(one.words): one for one in Flow().items() if one.stage == stage}
        if (words := " ".join(item)) not in known:
            takes = " ".join(next(iter(known.values())).names).upper() if known else ""
            more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
            there = f"{takes} is one of: {', '.join(list(known)[:LISTED])}{more}." if takes else "It takes no words."
            there = there if known else "It has none of this stage."
            _exit(2, f"{stage} {words}: no item of the profile {Path.cwd()}.{near(words, known)} {there}")
    execute(stage, item)


def _parsed(word: str, module: str, arguments: list[tuple[str, dict[str, Any]]], words: list[str]) -> dict[str, Any]:
    """The arguments of a stage or tool by name; anything else ends in a line that names the word."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = _Parser(f"{PROGRAM} {word}", description=_about(module), formatter_class=raw)
    exclusive = any("alone" in more for _, more in arguments)
    alone = parser.add_mutually_exclusive_group() if exclusive else parser  # an empty group fails in --help
    for name, more in arguments:
        own = {key: value for key, value in more.items() if key != "alone"}
        (alone if "alone" in more else parser).add_argument(name, **own)
    given, unknown = parser.parse_known_args(words)
    if unknown:
        meant = near(unknown[0], [name for name, _ in arguments if name.startswith("-")])
        parser.error(f"{unknown[0]!r} is no word that it takes.{meant}")
    return vars(given)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        end = "" if message.endswith((".", "?")) else "."
        _exit(2, f"{self.prog}: {message}{end} See {self.prog} --help.")


def _about(module: str) -> str:
    """The docstring of a module of the pipeline, which is not imported."""
    path = paths.ROOT / "pipeline" / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return (ast.get_docstring(ast.parse(file.read_bytes())) or "").replace("python -m pipeline", PROGRAM)


def _exit(status: int, sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr, flush=True)
    sys.exit(status)


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
        os.execv(sys.executable, [sys.executable, *START, *words])
    if words and words[0] in UNCOMPILED and sys.pycache_prefix != os.devnull:
        os.execv(sys.executable, [sys.executable, "-X", f"pycache_prefix={os.devnull}", *START, *words])


def command() -> None:
    """What `python -m pipeline` and `vsml` do."""
    run_own_code(sys.argv[1:])
    main()


if __name__ == "__main__":
    command()
