"""Every bound of the gateway is set in `gateway/limits.py`, and the gateway keeps each of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import limits

GATEWAY = Path(limits.__file__).parent

ELSEWHERE = {
    "limits.py",
    # What the wire fixes is no choice of this gateway.
    "dialect/constants.py",
    # How far the fast path goes. No client notices these: the slow path does what is beyond them.
    "dialect/fast.pyx",
}
"""The files that may set bounds."""

WRITERS = ("limits.py", "arguments.py", "pages/limits_page.py")
"""They set bounds, pass them on and write about them, but hold nothing to them."""

BOUND = re.compile(
    r"(?:^|_)(?:max|min|timeout|grace|percent|limit|bound|capacity|backlog)(?:_|$)|_default$", re.IGNORECASE
)
CYTHON_CONSTANT = re.compile(r"^ *(?:cdef +[\w ]+ )?(?P<name>[A-Z_][A-Z0-9_]*) *= *(?P<value>[^#\n]+)", re.MULTILINE)


def bounds_in(suffix: str, source: str) -> list[str]:
    """The bounds that a module sets itself: names that a number is given to, as constants, fields, defaults or arguments."""
    found = _python_numbers(ast.parse(source)) if suffix == ".py" else _cython_numbers(source)
    return [name for name in found if BOUND.search(name)]


def _python_numbers(tree: ast.Module) -> Iterator[str]:
    """Constants and fields, defaults of parameters, and arguments passed by name."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for statement in [*tree.body, *(statement for node in classes for statement in node.body)]:
        if isinstance(statement, ast.Assign) and _is_number(statement.value):
            yield from (target.id for target in statement.targets if isinstance(target, ast.Name))
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None and _is_number(statement.value):
            yield ast.unparse(statement.target)
    for node in ast.walk(tree):
        if isinstance(node, ast.arguments):
            positional = [*node.posonlyargs, *node.args]
            yield from (
                argument.arg
                for argument, default in [
                    *zip(reversed(positional), reversed(node.defaults), strict=False),
                    *zip(node.kwonlyargs, node.kw_defaults, strict=True),
                ]
                if default is not None and _is_number(default)
            )
        elif isinstance(node, ast.keyword) and node.arg is not None and _is_number(node.value):
            yield node.arg


def _is_number(node: ast.expr) -> bool:
    """Whether an expression is made of numbers alone, such as `64 * 1024`; True and False are none."""
    if isinstance(node, ast.Constant):
        return type(node.value) in (int, float) and node.value != 0
    return isinstance(node, ast.BinOp) and _is_number(node.left) and _is_number(node.right)


def _cython_numbers(source: str) -> Iterator[str]:
    """Constants and members of an enum."""
    for found in CYTHON_CONSTANT.finditer(source):
        try:
            value = ast.parse(found["value"].strip(), mode="eval").body
        except SyntaxError:
            continue
        if _is_number(value):
            yield found["name"]


def sources() -> Iterator[tuple[str, str, str]]:
    """Each source of the gateway: its path below the package, its suffix and its text."""
    for path in sorted(GATEWAY.rglob("*")):
        if path.suffix in (".py", ".pyx", ".pxd", ".pxi"):
            yield path.relative_to(GATEWAY).as_posix(), path.suffix, path.read_text()


def limit_names() -> list[str]:
    """The constants of `gateway/limits.py`, and the fields of its settings."""
    tree = ast.parse((GATEWAY / "limits.py").read_text())
    return list(dict.fromkeys(_python_numbers(tree)))


@pytest.mark.parametrize(
    ("suffix", "source", "found"),
    [
        (".py", "THINGS_MAX = 64 * 1024", ["THINGS_MAX"]),
        (".py", "_WAIT_TIMEOUT_S: float = 0.5", ["_WAIT_TIMEOUT_S"]),
        (".py", "class Limits(NamedTuple):\n    things_max: int = 3", ["things_max"]),
        (".py", "def wait(*, timeout_s: float = 5.0) -> None: ...", ["timeout_s"]),
        (".py", "def wait(a, timeout_s=5.0): ...", ["timeout_s"]),
        (".py", "async def f():\n    await wait_for(answer, timeout=5.0)", ["timeout"]),
        (".py", "from gateway.limits import THINGS_MAX\nASIDE_MAX = THINGS_MAX", []),
        (".py", "parser.add_argument('--port', default=9443)", []),
        (".py", "START = 7\nIS_MAX = True\nCOUNT_MAX = 0\nMAXIMUS = 3", []),
        (".pyx", "cdef Py_ssize_t THINGS_MAX = 4096", ["THINGS_MAX"]),
        (".pyx", "THINGS_MAX = 4096  # many", ["THINGS_MAX"]),
        (".pxd", "cdef enum:\n    THINGS_MAX = 4096\n    OTHER = 1", ["THINGS_MAX"]),
        (".pyx", "cdef Py_ssize_t THINGS_MAX = limits.THINGS_MAX", []),
    ],
)  # fmt: skip
def test_a_bound_is_recognised(suffix: str, source: str, found: list[str]) -> None:
    assert bounds_in(suffix, source) == found


def test_every_bound_is_set_in_limits() -> None:
    faults = {
        path: names for path, suffix, text in sources() if path not in ELSEWHERE if (names := bounds_in(suffix, text))
    }
    assert faults == {}, "move them into gateway/limits.py"


def test_the_files_that_may_set_bounds_do() -> None:
    """So that none of them is excused for nothing."""
    assert {path for path, suffix, text in sources() if bounds_in(suffix, text)} == ELSEWHERE


def test_every_bound_is_kept_somewhere() -> None:
    """Under its name, or under that of the option with which an operator chooses another."""
    names = limit_names()
    assert len(names) > 40
    texts = [text for path, _, text in sources() if path not in WRITERS]
    unused = [name for name in names if not any(re.search(rf"\b{name}\b", text, re.IGNORECASE) for text in texts)]
    assert unused == []
