"""Imports point downwards only, and bodies stay short: rules that are read off the source.

Each rule is a function that lists where a tree of files breaks it. It is asked about the project,
and about a file that breaks it, so that a rule that finds nothing anywhere is found out.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT = Path(__file__).parents[2]
LONGEST = 40

# From the top down. A module imports from the lines below its own, so none of a line imports
# another of it, but for the values, which are above the errors that they raise.
LAYERS = [
    {"pgherd"},  # the contract: nobody inside imports from it
    {"plugin"},
    {"fixtures", "report", "cli"},
    {"coordinator", "peewee"},
    {"servers.docker", "servers.embedded", "servers.external"},
    {"servers", "template", "clone", "reset", "undo", "sweep", "testdb", "presence"},
    {"admin", "options", "settings", "lifeline", "binaries", "supervisor"}
    | {"migrations", "binding", "shape", "note"},
    {"current", "statements"},
    {"address", "budget", "naming"},
    {"errors"},
]
STAGES = {"template", "clone", "reset", "undo", "sweep", "presence"}
IMPORT_PYTEST = {"plugin", "fixtures", "report"}
OWNERS_ONLY = {"testcontainers", "docker"}


class Import(NamedTuple):
    """One name that a module imports."""

    by: str
    line: int
    name: str
    postponed: bool
    """Whether it is inside a function, or for type checkers only."""

    def __str__(self) -> str:
        """Say where it is and what it imports."""
        return f"{self.by}:{self.line} imports {self.name}"


def modules(package: Path) -> dict[str, Path]:
    """Give the files of a package by the names that LAYERS has for them."""
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name or package.name] = path
    return found


def imports(package: Path) -> Iterator[Import]:
    """List all that a package imports, whether at the top of a module or inside a function."""
    for module, path in modules(package).items():
        yield from _imports_in(ast.parse(path.read_text()), module, postponed=False)


def _imports_in(node: ast.AST, module: str, *, postponed: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(module, child.lineno, alias.name, postponed)
        elif isinstance(child, ast.ImportFrom):
            origin = "." * child.level + (child.module or "")
            for alias in child.names:
                yield Import(module, child.lineno, f"{origin}.{alias.name}", postponed)
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or (
            isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        )
        yield from _imports_in(child, module, postponed=postponed or inside)


def upward_imports(package: Path) -> list[str]:
    """List the imports of the package's own modules that do not point downwards."""
    known = modules(package)
    found = []
    for each in imports(package):
        if each.name.startswith("."):
            found.append(f"{each}: write the whole name")
        if each.name.split(".")[0] == package.name:
            target = _module_of(each.name.removeprefix(f"{package.name}."), known)
            sideways = {each.by, target} & STAGES and each.by.split(".")[0] == "servers"
            if _layer(each.by) >= _layer(target) or sideways:
                found.append(f"{each}: it is not below")
    return found


def _module_of(name: str, known: dict[str, Path]) -> str:
    """Find the module in a dotted name: what follows it is a name inside the module."""
    while name not in known and "." in name:
        name = name.rpartition(".")[0]
    return name if name in known else "pgherd"


def _layer(module: str) -> int:
    found = [number for number, layer in enumerate(LAYERS) if module in layer]
    assert found, f"{module} is in no layer: name it in LAYERS, and in the design"
    return found[0]


def pytest_imports(package: Path) -> list[str]:
    """List the imports of pytest where it has no business."""
    return [
        str(each)
        for each in imports(package)
        if each.name.split(".")[0] in {"pytest", "_pytest"} and each.by not in IMPORT_PYTEST
    ]


def container_imports(package: Path) -> list[str]:
    """List the imports of what only the owner may pay for, and only when it starts a container."""
    return [
        str(each)
        for each in imports(package)
        if each.name.split(".")[0] in OWNERS_ONLY
        and not (each.by == "servers.docker" and each.postponed)
    ]


def long_functions(*folders: Path) -> list[str]:
    """List the functions of more than 40 lines, from `def` to the last line of the body."""
    return [
        f"{path.name}:{node.lineno} {node.name}"
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > LONGEST
    ]


def more_than_a_contract(package: Path) -> list[str]:
    """List what a package's `__init__.py` has besides a docstring, imports and `__all__`."""
    tree = ast.parse((package / "__init__.py").read_text())
    return [
        ast.unparse(node)
        for number, node in enumerate(tree.body)
        if not (
            (number == 0 and isinstance(node, ast.Expr) and ast.get_docstring(tree))
            or isinstance(node, ast.Import | ast.ImportFrom)
            or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
        )
    ]


@pytest.mark.parametrize(
    "rule",
    [upward_imports, pytest_imports, container_imports, long_functions, more_than_a_contract],
)
def test_the_package_keeps_each_rule(rule: Callable[[Path], list[str]]):
    """Nothing in the package breaks the rule."""
    assert rule(PROJECT / "src" / "pgherd") == []


@pytest.mark.parametrize("folder", ["app", "tests", "benchmarks", "examples"])
def test_functions_are_short_everywhere(folder: str):
    """No function of the project has more than 40 lines."""
    assert long_functions(PROJECT / folder) == []


def test_every_module_is_read():
    """The rules look at all modules, those of the servers among them."""
    found = modules(PROJECT / "src" / "pgherd")
    assert {"pgherd", "plugin", "servers", "servers.docker", "errors"} <= set(found)


@pytest.fixture
def package(tmp_path: Path) -> Callable[[str, str], Path]:
    """Give a function that writes one module of a package whose other modules are empty."""

    def write(module: str, text: str) -> Path:
        root = tmp_path / "pgherd"
        for name in {name for layer in LAYERS for name in layer} - {"pgherd", "servers"}:
            path = root / f"{name.replace('.', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        (root / "__init__.py").write_text('"""Text."""\n')
        (root / "servers" / "__init__.py").write_text("")
        (root / f"{module}.py").write_text(text)
        return root

    return write


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("address", "from pgherd import admin"),
        ("address", "from pgherd.admin import drop"),
        ("address", "import pgherd.admin"),
        ("address", "if TYPE_CHECKING:\n    from pgherd.options import Options"),
        ("address", "def f():\n    from pgherd import admin"),
        ("address", "from . import errors"),
        ("admin", "from pgherd import Address"),
        ("admin", "from pgherd import options"),
        ("clone", "from pgherd import template"),
        ("clone", "from pgherd import servers"),
        ("sweep", "from pgherd import coordinator"),
        ("servers/docker", "from pgherd.servers import external"),
        ("servers/docker", "from pgherd import sweep"),
        ("servers/__init__", "from pgherd.servers import docker"),
        ("coordinator", "from pgherd.peewee import create_tables"),
        ("fixtures", "from pgherd import plugin"),
    ],
)
def test_an_upward_import_is_found(package, module: str, text: str):
    """An import that points upwards or sideways is found, however it is written."""
    assert len(upward_imports(package(module, text))) == 1


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("plugin", "from pgherd import errors, fixtures"),
        ("servers/docker", "from pgherd.servers import Server"),
        ("coordinator", "from pgherd import servers, sweep"),
        ("address", "from pgherd.errors import UsageError"),
        ("peewee", "import peewee"),
    ],
)
def test_a_downward_import_is_allowed(package, module: str, text: str):
    """An import from a lower layer, or of another package, is none of the findings."""
    assert upward_imports(package(module, text)) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("coordinator", "import pytest"),
        ("admin", "from pytest import StashKey"),
        ("admin", "def f():\n    import _pytest.config"),
    ],
)
def test_an_import_of_pytest_is_found(package, module: str, text: str):
    """Pytest is imported by the three modules that pytest or a person sees, and by no other."""
    assert len(pytest_imports(package(module, text))) == 1


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("servers/docker", "import docker"),
        ("servers/docker", "from testcontainers.core import container"),
        ("servers/docker", "class A:\n    import docker.errors"),
        ("coordinator", "def f():\n    import docker"),
    ],
)
def test_an_import_of_testcontainers_is_found(package, module: str, text: str):
    """Only servers/docker imports testcontainers, and only inside a function."""
    assert len(container_imports(package(module, text))) == 1


@pytest.mark.parametrize("lines", [40, 41])
def test_a_long_function_is_found(package, lines: int):
    """Forty lines are allowed; one more is not, even where the function is inside another thing."""
    text = "class A:\n    async def f():\n" + "        pass\n" * (lines - 1)
    assert len(long_functions(package("admin", text))) == (lines == 41)


@pytest.mark.parametrize("text", ["VERSION = 1", "def f():\n    pass", "if True:\n    import os"])
def test_more_than_a_contract_is_found(package, text: str):
    """Anything else in `__init__.py` is found."""
    assert more_than_a_contract(package("__init__", f'"""Text."""\n{text}')) == [text]


def test_a_worker_does_not_pay_for_the_owner():
    """Importing the plugin loads neither testcontainers nor docker, an ORM or a web framework."""
    program = (
        "import pgherd.plugin, pgherd.servers.docker, sys; unwanted = "
        "{'testcontainers', 'docker', 'peewee', 'playhouse', 'flask', 'xdist', 'requests'}; "
        "print(sorted(unwanted & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"
