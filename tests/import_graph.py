"""The imports of a tree of Python and Cython files, as a graph of modules.

A module is all files of one name: `core.pyx`, `core.pxd` and `core.pyi` are `engine.core.core`. Its imports are those of
all of them: `import`, `cimport` and Cython's `include`, at the top of a file, in a function, under TYPE_CHECKING, or by
`importlib.import_module("a.literal")`. That Python runs `engine/__init__.py` before `engine/records.py` is not counted as
an import, because no file says so.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

SUFFIXES = (".py", ".pyi", ".pyx", ".pxd", ".pxi")

# Cython's import lines. A list in brackets may go on over several lines.
CYTHON_IMPORT = re.compile(r"^[ \t]*c?import[ \t]+([^\n#]+)", re.MULTILINE)
CYTHON_FROM_IMPORT = re.compile(r"^[ \t]*from[ \t]+([\w.]+)[ \t]+c?import[ \t]+(\([^)]*\)|[^\n#]*)", re.MULTILINE)
CYTHON_INCLUDE = re.compile(r"^[ \t]*include[ \t]+[\"'](\w+)\.pxi[\"']", re.MULTILINE)


class Named(NamedTuple):
    """One import as it is written: `from module import names`, or `import module` without names."""

    module: str
    names: tuple[str, ...] = ()


class ImportGraph:
    """Who imports whom in the packages below a folder.

    Args:
        root: the folder that has the packages.
        packages: the names of the packages to read.
    """

    def __init__(self, root: Path, packages: Iterable[str]) -> None:
        self.packages = frozenset(packages)
        self.inner: dict[str, set[str]] = {}
        """Each module to the modules of these packages that it imports."""
        self.outer: dict[str, set[str]] = {}
        """Each module to the top-level packages that it imports from elsewhere, the standard library included."""
        files: dict[str, list[Path]] = {}
        for package in self.packages:
            for path in sorted((root / package).rglob("*")):
                if path.suffix in SUFFIXES:
                    files.setdefault(module_of(path.relative_to(root)), []).append(path)
        for module, paths in files.items():
            self.inner[module], self.outer[module] = set(), set()
            for path in paths:
                for named in imports_in(path, module):
                    self._add(module, named, files.keys())

    def _add(self, module: str, named: Named, modules: Iterable[str]) -> None:
        package = named.module.partition(".")[0]
        if package not in self.packages:
            self.outer[module].add(package)
            return
        # A name is either a module of the package, or something that the package's own file defines.
        found = {f"{named.module}.{name}" for name in named.names} & set(modules)
        if len(found) < len(named.names) or not named.names:
            found.add(named.module)
        self.inner[module] |= found - {module}

    def modules_in(self, package: str) -> list[str]:
        return sorted(module for module in self.inner if is_in(module, package))

    def reached_from(self, start: str) -> dict[str, tuple[str, ...]]:
        """All modules that an import of `start` can bring in, each with the chain of imports that leads to it."""
        chains: dict[str, tuple[str, ...]] = {start: (start,)}
        waiting = [start]
        while waiting:
            module = waiting.pop(0)
            for imported in sorted(self.inner.get(module, ())):
                if imported not in chains:
                    chains[imported] = (*chains[module], imported)
                    waiting.append(imported)
        return chains


def is_in(module: str, package: str) -> bool:
    """Whether a module is the package or a part of it."""
    return module == package or module.startswith(f"{package}.")


def module_of(path: Path) -> str:
    """The module that a file, named relative to the root, is part of."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imports_in(path: Path, module: str) -> Iterator[Named]:
    """The imports that a file of `module` states."""
    text = path.read_text()
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    if path.suffix in (".py", ".pyi"):
        yield from python_imports(text, package)
    else:
        yield from cython_imports(text, package)


def python_imports(text: str, package: str) -> Iterator[Named]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (Named(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            written = "." * node.level + (node.module or "")
            yield Named(absolute(written, package), tuple(alias.name for alias in node.names))
        elif isinstance(node, ast.Call) and "import_module" in (
            getattr(node.func, "id", ""),
            getattr(node.func, "attr", ""),
        ):
            yield from (Named(str(argument.value)) for argument in node.args[:1] if isinstance(argument, ast.Constant))


def cython_imports(text: str, package: str) -> Iterator[Named]:
    for names in CYTHON_IMPORT.findall(text):
        yield from (Named(name.split()[0]) for name in names.split(","))
    for written, names in CYTHON_FROM_IMPORT.findall(text):
        listed = re.sub(r"#[^\n]*", "", names).strip("() \n").split(",")
        yield Named(absolute(written, package), tuple(name.split()[0] for name in listed if name.strip()))
    for name in CYTHON_INCLUDE.findall(text):
        yield Named(f"{package}.{name}")


def absolute(written: str, package: str) -> str:
    """The full name of a module that may be written relative to `package`: `.x`, `..y.z`."""
    name = written.lstrip(".")
    level = len(written) - len(name)
    if not level:
        return name
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - level + 1], *filter(None, [name])])


def circles(graph: Mapping[str, Iterable[str]]) -> list[frozenset[str]]:
    """The strongly connected parts of a graph that have more than one member, largest first (Tarjan 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: list[frozenset[str]] = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        path.append(node)
        for other in graph.get(node, ()):
            if other not in order:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in path:
                lowest[node] = min(lowest[node], order[other])
        if lowest[node] == order[node]:
            start = path.index(node)
            if len(path) - start > 1:
                found.append(frozenset(path[start:]))
            del path[start:]

    for node in graph:
        if node not in order:
            visit(node)
    return sorted(found, key=lambda circle: (-len(circle), sorted(circle)))
