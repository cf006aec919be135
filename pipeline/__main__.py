"""The command line: `python -m pipeline STAGE ITEM…` runs an item of a stage, `python -m pipeline TOOL …` the rest.

A tool's `main` takes as keyword arguments what its row in TOOLS declares. Exit status: 0, done; 1, what was asked for
failed or is not so; 2, wrong use or bad input, and no answer from a tool that judges; 130, Ctrl-C. What our own code
raises is shown as one sentence; a traceback is a fault.
"""

import argparse
import ast
import difflib
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from pipeline.run import paths

OURS = ("pipeline", "vsml")
PROGRAM = "python -m pipeline"
LISTED = 12  # items of a stage that an error names
# Two virtual devices on every machine, so that sums are split in the same way whatever the number of cores; and
# vectors as wide as the machine has, where XLA would stop at half of AVX-512.
XLA_FLAGS = {"--xla_force_host_platform_device_count": "2", "--xla_cpu_prefer_vector_width": "512"}


class Tool(NamedTuple):
    """A word of the command line: the module that has its `main`, what it does, and what `main` is given.

    A tool that judges has the exit status 1 for a bad verdict only. Arguments are those of argparse; those that are
    `alone` exclude each other.
    """

    module: str
    purpose: str
    judges: bool = False
    arguments: tuple[tuple[str, dict[str, Any]], ...] = ()


def at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from {least} on.")
        return int(text)

    return number


def profile(text: str) -> Path:
    """The folder of a profile, or of its dvc.yaml."""
    folder = Path(text).parent if Path(text).name == "dvc.yaml" else Path(text)
    if not (folder / "dvc.yaml").is_file():
        words = f"the folder {str(folder)!r} has no dvc.yaml: name that of a profile, or go there"
        raise argparse.ArgumentTypeError(words)
    return folder


def file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text!r}.")
    return Path(text)


def picture(text: str) -> Path:
    if Path(text).suffix not in (".png", ".pdf"):
        raise argparse.ArgumentTypeError(f"{text!r} must end in .png or .pdf.")
    return Path(text)


def plain(text: str) -> str:
    if not text.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} must be a plain word of letters, digits and underscores.")
    return text


def argument(name: str, words: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return name, {"help": words, **more}


FLAG: dict[str, Any] = {"action": "store_true"}
FOLDER: dict[str, Any] = {"type": profile, "default": "."}
TOOLS = {
    "audit": Tool(
        "audit",
        "prove every figure of a profile, up to the data's publishers",
        True,
        (
            argument("profile", "its folder (default: this one)", nargs="?", **FOLDER),
            argument("--remote", "read the objects in DVC's default remote as well", **FLAG),
            argument("--json", "write all that was found as JSON", type=Path, metavar="FILE"),
            argument("--html", "write it as a page that needs no other file", type=Path, metavar="FILE"),
        ),
    ),
    "deploy": Tool(
        "cluster.deploy",
        "apply the manifests of k8s/ to a cluster",
        arguments=(
            argument("overlay", "a folder of k8s/overlays"),
            argument("more", "a folder of k8s/components, or NAME=IMAGE", nargs="*", metavar="more"),
        ),
    ),
    "doctor": Tool("cluster.doctor", "find out whether the cluster and MLflow can run stages, and how to mend them"),
    "evaluate": Tool(
        "studies.learning.evaluate",
        "run a learned rule on your own data",
        arguments=(
            argument("--rule", "the name of a rule that ships, or a rule.npz", required=True),
            argument("--data", "an npz file with x [n, …] and y [n]", type=Path, required=True),
            argument("--episodes", "random orders of the data (default: 16)", type=at_least(1), default=16),
            argument("--length", "examples of an episode (default: all, at most 2000)", type=at_least(2)),
            argument("--seed", "of the orders and the initial states (default: 0)", type=at_least(0), default=0),
            argument(
                "--random-features",
                "show all learners N random functions of each example beside it (default: 0)",
                type=at_least(0),
                default=0,
                metavar="N",
            ),
            argument("--out", "png or pdf (default: evaluate.png)", type=picture, default="evaluate.png"),
        ),
    ),
    "evidence": Tool(
        "audit.evidence",
        "pack what proves the figures of a profile into a folder that stands alone",
        arguments=(
            argument("folder", "a folder that does not exist yet", type=Path),
            argument("--profile", "its folder (default: this one)", **FOLDER),
        ),
    ),
    "jobs": Tool(
        "cluster.jobs",
        "list, follow or cancel what runs on the cluster",
        arguments=(
            argument(
                "act",
                "list what runs and has run (the default), follow one to its end, or cancel some",
                nargs="?",
                choices=("list", "follow", "cancel"),
                default="list",
            ),
            argument("names", "as much of the name of a Job as no other has", nargs="*", metavar="name"),
        ),
    ),
    "plan": Tool("run.job", "write what decides the outs of each item of a profile: the first stage"),
    "readme": Tool(
        "studies.readme",
        "bring results into docs/, README.md and the pages of the studies",
        arguments=(
            argument("what", "those of `make bench` instead", nargs="?", choices=("bench",), alone=True),
            argument("--check", "compare only", alone=True, **FLAG),
        ),
    ),
    "replay": Tool(
        "audit.replay",
        "run an item again as it ran, and say how alike the outs are",
        True,
        (argument("stage", "its stage"), argument("item", "its words, as for the stage itself", nargs="*")),
    ),
    "repro": Tool(
        "run.repro",
        "run all that is out of date, several items at once",
        arguments=(
            argument("--jobs", "items at once (default: one a core)", type=at_least(1), default=os.cpu_count()),
            argument("profile", "its folder or its dvc.yaml (default: this folder)", nargs="?", **FOLDER),
        ),
    ),
    "ship": Tool(
        "studies.ship",
        "put a rule that this profile has learned into vsml/zoo",
        arguments=(
            argument("experiment", "of the profile"),
            argument("seed", "of its meta-training", type=at_least(0)),
            argument("name", "what the rule is to be called", type=plain),
        ),
    ),
    "uploads": Tool(
        "track.uploads",
        "take the runs that wait on this machine to MLflow",
        arguments=(
            argument("--here", "runs that are meant for other MLflow stores as well", alone=True, **FLAG),
            argument("--stay", "go on as long as there is something to do, for any store", alone=True, **FLAG),
        ),
    ),
    "verify": Tool(
        "audit.verify",
        "check a folder of evidence, without a network",
        True,
        (
            argument("folder", "what `evidence` has packed", type=Path),
            argument("--sums", "what the sha256 of its SHA256SUMS must be, as it was published", metavar="SHA256"),
        ),
    ),
    "whence": Tool(
        "audit.whence",
        "say where a figure, a page or a table comes from, wherever it was found",
        True,
        (argument("file", "a PNG, PDF or HTML file, or any file that a stage left", type=file),),
    ),
}


def xla_flags() -> str:
    """XLA_FLAGS as they should be before jax is imported: the user's, and ours where the user has not set them."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    known = {flag.partition("=")[0] for flag in flags}
    return " ".join(flags + [f"{name}={value}" for name, value in XLA_FLAGS.items() if name not in known])


def main(words: list[str] | None = None) -> None:
    """Do what `words` say, or those of the command line. It returns if that succeeded, and exits otherwise."""
    os.environ["XLA_FLAGS"] = xla_flags()
    # Compiled programs are kept for the next seed and the next repro. Who can write there can run code as this user,
    # so it is the repository's own folder, and never a shared one unless the user says so.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(paths.COMPILED))
    # jaxlib 0.10.1 calls each kept program foreign, in a line of a thousand characters: it compares two tuning hints
    # with the features of the machine (github.com/openxla/xla/issues/44565). Errors come as exceptions all the same.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    words = sys.argv[1:] if words is None else words
    word, *rest = words or [""]
    tool = TOOLS.get(word)
    try:
        if "--version" in words:
            print(f"vsml {importlib.metadata.version('vsml')}")
        elif tool is not None:
            module = f"pipeline.{tool.module}"
            given = _parsed(word, module, tool.arguments, rest)
            importlib.import_module(module).main(**given)
        else:
            _run(word, rest)
    except KeyboardInterrupt:
        _exit(130, f"{word}: stopped by Ctrl-C.")
    except Exception as error:
        # What our own code raises is a sentence for the user; all else is a fault, which its traceback helps to find.
        last = traceback.extract_tb(error.__traceback__)[-1]
        ours = any(Path(last.filename).is_relative_to(paths.ROOT / name) for name in OURS)
        if ours and (last.line or "").startswith("raise"):
            sentence = str(error)
        elif tool is not None and isinstance(error, OSError) and error.filename:
            sentence = f"{error.filename} cannot be opened: {error.strerror}."
        else:
            raise
        unusable = tool is not None and (tool.judges or isinstance(error, ValueError | OSError))
        _exit(2 if unusable else 1, f"{word}: {sentence}")


def _run(stage: str, rest: list[str]) -> None:
    """Run an item of a stage, or say which stages, tools or items there are."""
    # Not above: they take a third of a second, which the help on a tool need not.
    from pipeline.cluster.execute import execute
    from pipeline.run.flow import Flow
    from pipeline.run.job import stages

    if stage not in stages():
        tools = "".join(f"\n  {name:<9} {tool.purpose}" for name, tool in TOOLS.items())
        about = (
            f"{PROGRAM} STAGE ITEM… runs an item of a stage in the folder of a profile, where STAGE is one of\n"
            f"  {', '.join(stages())}\n{PROGRAM} TOOL … does what else there is to do, where TOOL is one of{tools}\n"
            "Each of them says more with --help; --version is that of the package."
        )
        if stage in ("-h", "--help"):
            return print(about)
        near = _near(stage, (*stages(), *TOOLS))
        _exit(2, f"{stage!r} is neither a stage nor a tool.{near} See {PROGRAM} --help." if stage else about)
    of_item = argument("item", "its words, as dvc.yaml has them", nargs="*")
    item = tuple(_parsed(stage, stages()[stage].module, (of_item,), rest)["item"])
    if os.environ.get("PIPELINE_EXECUTOR") != "pod":  # which has no profile before it has fetched one
        known = {" ".join(one.words): one for one in Flow().items() if one.stage == stage}
        if (words := " ".join(item)) not in known:
            takes = " ".join(next(iter(known.values())).names).upper() if known else ""
            more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
            listed = f"{takes} is one of: {', '.join(list(known)[:LISTED])}{more}" if takes else "It takes no words"
            there = f"{listed}." if known else "It has none of this stage."
            _exit(2, f"{stage} {words}: no item of the profile {Path.cwd()}.{_near(words, known)} {there}")
    execute(stage, item)


def _parsed(
    word: str, module: str, arguments: tuple[tuple[str, dict[str, Any]], ...], words: list[str]
) -> dict[str, Any]:
    """The arguments of a stage or tool by name. Its help is the docstring of its module, which is not imported."""
    source = importlib.util.find_spec(module)
    about = ast.get_docstring(ast.parse(Path(source.origin).read_bytes())) if source and source.origin else None
    parser = _Parser(f"{PROGRAM} {word}", description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    exclusive = any("alone" in more for _, more in arguments)
    alone = parser.add_mutually_exclusive_group() if exclusive else parser  # an empty group fails in --help
    for name, more in arguments:
        own = {key: value for key, value in more.items() if key != "alone"}
        (alone if "alone" in more else parser).add_argument(name, **own)
    given, unknown = parser.parse_known_args(words)
    if unknown:
        options = [name for name, _ in arguments if name.startswith("-")]
        parser.error(f"{unknown[0]!r} is no word that it takes.{_near(unknown[0], options)}")
    return vars(given)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        end = "" if message.endswith((".", "?")) else "."
        _exit(2, f"{self.prog}: {message}{end} See {self.prog} --help.")


def _near(word: str, known: Iterable[str]) -> str:
    """The nearest of what is known as a sentence; nothing if none is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _exit(status: int, sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr, flush=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
