"""What decides the outs of an item: the code that it runs, its parameters, the numeric packages and their settings.

The stage `plan` writes it for every item of a profile as artifacts/plan/STAGE@ITEM.json, and every other stage depends
on its own file. So DVC reruns an item when, and only when, something changes that could change its numbers.

The code is a digest of syntax: of the modules that an item starts from, and of all of ours that they import. Comments,
docstrings, formatting, the order of imports and the places of modules do not count. All else does: a constant, a
default, an operator, a decorator, which module a name is imported from. Of the packages around a module only what their
`__init__` does on import counts. All versions of Python that pyproject.toml admits agree on the digest.
"""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, NamedTuple

OURS = ("pipeline", "vsml")
# Modules that carry a stage and decide no number: what they say of an item reaches it through its plan.
CARRIERS = (  # patterns of their names
    "pipeline.data.download",
    "pipeline.run.checkpoints",
    "pipeline.run.flow",
    "pipeline.run.job",
    "pipeline.run.params",
    "pipeline.run.paths",
    "pipeline.studies.*params",
    "pipeline.studies.stages",
    "pipeline.track.*",
)
NUMERIC = {name: (name,) for name in ("numpy", "optax", "flax", "scipy", "matplotlib")}
NUMERIC |= {"jax": ("jax", "jaxlib"), "PIL": ("pillow",)}  # distributions by the package that is imported
# Environment variables that may change numbers, by patterns: of JAX's all that are not known to be harmless, such as
# those that say where to compute (which the fingerprint has as the device), what to log and how long to wait.
SETTINGS = ("JAX_*", "XLA_FLAGS", "LIBTPU_INIT_ARGS", "NVIDIA_TF32_OVERRIDE", "NPY_*_CPU_FEATURES", "OPENBLAS_CORETYPE")
OF_NUMPY = ("NPY_", "OPENBLAS_")  # how the names of those begin that reach what runs no JAX
HARMLESS = tuple(f"JAX_*{what}*" for what in ("VISIBLE_DEVICES", "CACHE", "LOG", "DUMP", "TRACEBACK", "TIMEOUT"))
HARMLESS += ("JAX_PLATFORM*",)
COMPILING = ("--xla_cpu_parallel_codegen_split_count=*",)  # flags of XLA: how it compiles, and not what
OFF = ("JAX_ENABLE_X64", "JAX_DISABLE_JIT", "JAX_DISABLE_MOST_OPTIMIZATIONS")  # unless they are set to more than this:
NOT_SET = ("", "0", "false", "False")
DEPTH = 64  # longest chain of imports that is followed; ours are a quarter as long


class Code(NamedTuple):
    """What some modules run: the digest of its syntax, its files, and the foreign packages that it imports."""

    digest: str
    files: tuple[str, ...]  # relative to the root
    packages: frozenset[str]


class Module(NamedTuple):
    """The syntax of a module, in which `<n>` stands for the n-th of the modules of ours that it imports."""

    file: str
    text: str
    imports: tuple[str, ...]
    packages: frozenset[str]
    on_import: str  # what it does when it is imported, besides defining and importing


def plan(tree: "Tree", starts: Iterable[str], params: Mapping[str, Any]) -> dict[str, Any]:
    """The plan of an item that starts from these modules with these parameters, as plain JSON types.

    Of settings that change numbers it has those of this process.

    Raises:
      ValueError: no such module, or a chain of imports that is too long.
    """
    found = tree.code(starts)
    counts = "" if "jax" in found.packages else OF_NUMPY
    numeric = sorted({name for package in found.packages for name in NUMERIC.get(package, ())})
    return {
        "code": found.digest,
        "params": dict(params),
        "versions": {name: _version(name) for name in numeric},
        "settings": {name: value for name, value in settings().items() if name.startswith(counts)},
    }


def settings(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment variables that may change numbers, by default of this process, without what is off or unset."""
    return {
        # In whatever order they were given, flags are the same.
        name: " ".join(flag for flag in sorted(value.split()) if not _matches(flag, COMPILING))
        if name == "XLA_FLAGS"
        else value
        for name, value in sorted(environment.items())
        if _matches(name, SETTINGS) and not _matches(name, HARMLESS)
        if value not in (NOT_SET if name in OFF else ("",))
    }


def differences(expected: Any, found: Any, name: str = "") -> list[str]:
    """The dotted names of the leaves in which two plans differ."""
    if not isinstance(expected, dict) or not isinstance(found, dict):
        return [] if expected == found else [name]
    nothing, keys = object(), dict.fromkeys((*expected, *found))
    pairs = [(f"{name}.{key}" if name else key, expected.get(key, nothing), found.get(key, nothing)) for key in keys]
    return [leaf for inner, one, other in pairs for leaf in differences(one, other, inner)]


class Tree:
    """The modules of ours under a folder, each read once."""

    def __init__(self, root: Path) -> None:
        self._root, self._module = root, functools.cache(functools.partial(_module, root))
        self._code = functools.cache(self._found)

    def code(self, starts: Iterable[str]) -> Code:
        """The code that some modules run."""
        return self._code(tuple(starts))

    def _found(self, starts: tuple[str, ...]) -> Code:
        modules: dict[str, Module] = {}
        waiting = set(starts)
        for _ in range(DEPTH):
            for name in waiting:
                if (module := self._module(name)) is None:
                    raise ValueError(f"{name} is no module under {self._root}: correct its name.")
                modules[name] = module
            waiting = {one for name in waiting for one in modules[name].imports} - modules.keys()
        if waiting:
            raise ValueError(f"Imports of {list(starts)} go deeper than {DEPTH} modules: raise DEPTH in {__file__}.")
        names = {name: hashlib.sha256(one.text.encode()).hexdigest() for name, one in modules.items()}
        for _ in range(DEPTH):  # each round, a module's name tells modules apart that are one import further away
            names = {name: _sha256([names[name], *map(names.get, one.imports)]) for name, one in modules.items()}
        packages = {name[: dot.start()] for name in modules for dot in re.finditer(r"\.", name)}
        around = [one for package in packages if (one := self._module(package))]
        digest = _sha256([sorted(names[start] for start in starts), sorted({one.on_import for one in around} - {""})])
        files = {one.file for one in (*modules.values(), *around)}
        foreign = frozenset(package for one in modules.values() for package in one.packages)
        return Code(digest, tuple(sorted(files)), foreign)


def shadowed(root: Path, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Of files of modules of ours those that Python does not import, and what it takes in the place of each: a package
    beside a module, or a compiled extension."""
    for name in names:
        file = root / name
        module = file.parent if file.name == "__init__.py" else file.with_suffix("")
        spec = PathFinder.find_spec(module.name, [str(module.parent)])
        if file.is_file() and (spec is None or spec.origin != str(file)):
            yield name, str(spec and spec.origin)


@functools.cache
def _version(name: str) -> str:
    return importlib.metadata.version(name)


def _module(root: Path, name: str) -> Module | None:
    if (path := _file(root, name)) is None:
        return None
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    body, reader = ast.parse(path.read_bytes()).body, _Reader(root, package)
    text = reader.body(body)
    effects = [node for node in _undocumented(body) if not _defines(node)]
    on_import = _Reader(root, package).body(effects) if effects else ""
    return Module(path.relative_to(root).as_posix(), text, tuple(reader.imports), frozenset(reader.packages), on_import)


def _file(root: Path, name: str) -> Path | None:
    path = root.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _defines(node: ast.stmt) -> bool:
    """Whether a statement only defines or imports something: running it alone changes nothing."""
    if isinstance(node, ast.Assign):
        return [ast.unparse(target) for target in node.targets] == ["__all__"]
    only = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    return isinstance(node, only) or _for_types(node)


def _for_types(node: ast.AST) -> bool:
    """Whether this is `if TYPE_CHECKING:`, which never runs."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _undocumented(body: list[Any]) -> list[Any]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest
    return body


class _Reader:
    """Writes syntax as text, and collects what it imports on the way."""

    def __init__(self, root: Path, package: str) -> None:
        self._root, self._package = root, package
        self.imports: list[str] = []
        self.packages: set[str] = set()

    def body(self, body: list[Any]) -> str:
        """The statements of a module, a class or a function, without its docstring.

        Imports before the first other statement are in order of the names that they bind, since their own order
        matters only where two bind the same name: then the last one does.
        """
        body = [node for node in _undocumented(body) if not _for_types(node)]
        first = next((n for n, node in enumerate(body) if not isinstance(node, ast.Import | ast.ImportFrom)), len(body))
        bound = {binding: source for node in body[:first] for binding, source in self._bound(node)}
        head = [self._import(binding, *bound[binding]) for binding in sorted(bound)]
        return f"[{','.join([*head, *map(self._text, body[first:])])}]"

    def _text(self, node: Any) -> str:
        match node:
            case ast.Import() | ast.ImportFrom():
                return ",".join(self._import(binding, *source) for binding, source in self._bound(node))
            case ast.JoinedStr(values=[*values, ast.Constant(value="")]):
                return self._text(ast.JoinedStr(values))  # Python 3.12.0 and 3.12.1 end formats with an empty text
            case ast.AST():
                documented = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                words = [
                    f"{name}={self.body(value) if name == 'body' and documented else self._text(value)}"
                    for name, value in ast.iter_fields(node)
                    # Fields that versions of Python add or fill differently, and that say nothing here, are left out.
                    if name not in ("ctx", "kind", "type_comment") and value not in (None, [])
                ]
                return f"{type(node).__name__}({','.join(words)})"
            case list():
                return f"[{','.join(self._text(one) for one in node if not _for_types(one))}]"
            case _:
                return f"{type(node).__name__}:{node!a}"  # in ASCII: what repr escapes depends on the version of Python

    def _bound(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, tuple[str, str]]]:
        """Each name that an import binds, with the module that it is from and its name there ("" for the module)."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                yield alias.asname or alias.name, (alias.name if alias.asname or top in OURS else top, "")
            return
        source = importlib.util.resolve_name("." * node.level + (node.module or ""), self._package)
        for alias in node.names:
            inner = f"{source}.{alias.name}"
            is_module = source.split(".")[0] in OURS and _file(self._root, inner) is not None
            yield alias.asname or alias.name, (inner, "") if is_module else (source, alias.name)

    def _import(self, binding: str, source: str, name: str) -> str:
        top = source.split(".")[0]
        if top not in OURS:
            self.packages.add(top)
            return f"import({binding},{name},{source})"
        if _matches(source, CARRIERS):
            return f"import({binding},{name})"
        self.imports.append(source)
        return f"import({binding},{name},<{len(self.imports)}>)"


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
