"""The rules of the source: imports point downwards, bodies are short, `__init__` is a contract.

Each rule is a function that lists where a package breaks it. It is tested with the project, and
with a package that breaks it, because a rule that never finds anything would go unnoticed.
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

# From the top down. A name is a module or a folder at the top of the package. It imports only from
# lines below its own, so the names of one line do not import each other.
LAYERS = [
    {"pgherd"},  # the contract: no module imports from it
    {"plugin"},
    {"fixtures", "terminal", "overrides"},
    {"run", "peewee"},
    {"servers", "template", "clones", "reset", "lending"},
    {"postgres", "options"},
    {"errors", "unpatched"},
]
SERVER_KINDS = {"servers.docker", "servers.embedded", "servers.external"}
IMPORT_PYTEST = {"plugin", "fixtures", "terminal", "overrides"}
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
    """List the imports between modules of the package that do not point downwards."""
    found = [
        f"{each}: write the whole name" for each in imports(package) if each.name.startswith(".")
    ]
    for each, target in _internal_imports(package):
        if target == package.name or (
            _part(each.by) != _part(target) and _layer(each.by) >= _layer(target)
        ):
            found.append(f"{each}: it is not below")
        elif _kind(each.by) and _kind(target) and _kind(each.by) != _kind(target):
            found.append(f"{each}: it is another kind of server")
    return found


def circular_imports(package: Path) -> list[str]:
    """List the modules that import themselves, directly or through other modules."""
    targets: dict[str, set[str]] = {}
    for each, target in _internal_imports(package):
        targets.setdefault(each.by, set()).add(target)

    def reached(module: str) -> set[str]:
        seen: set[str] = set()
        todo = [module]
        while todo:
            new = targets.get(todo.pop(), set()) - seen
            seen |= new
            todo += new
        return seen

    return sorted(module for module in targets if module in reached(module))


def _internal_imports(package: Path) -> Iterator[tuple[Import, str]]:
    """Yield each import of one of the package's own modules, with that module."""
    known = modules(package)
    for each in imports(package):
        if each.name.split(".")[0] == package.name:
            yield each, _module_of(each.name.removeprefix(f"{package.name}."), known)


def _module_of(name: str, known: dict[str, Path]) -> str:
    """Find the module in a dotted name: what follows it is a name inside the module."""
    while name not in known and "." in name:
        name = name.rpartition(".")[0]
    return name if name in known else "pgherd"


def _part(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def _kind(module: str) -> str | None:
    """Return the kind of server that a module belongs to; None for other modules."""
    kind = ".".join(module.split(".")[:2])
    return kind if kind in SERVER_KINDS else None


def _layer(module: str) -> int:
    found = [number for number, layer in enumerate(LAYERS) if _part(module) in layer]
    assert found, f"{module} is in no layer: name it in LAYERS, and in CONTRIBUTING.md"
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
        and not (each.by.startswith("servers.docker.") and each.postponed)
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
    """List what the `__init__.py` files have besides docstrings, imports, `__all__` and contracts.

    A contract is a class that is a Protocol or a frozen dataclass without methods.
    """
    return [
        ast.unparse(node)
        for path in sorted(package.rglob("__init__.py"))
        for number, node in enumerate(ast.parse(path.read_text()).body)
        if not (
            (number == 0 and isinstance(node, ast.Expr))
            or isinstance(node, ast.Import | ast.ImportFrom)
            or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
            or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
            or (isinstance(node, ast.ClassDef) and _is_contract(node))
        )
    ]


def _is_contract(node: ast.ClassDef) -> bool:
    if [ast.unparse(base) for base in node.bases] == ["Protocol"]:
        return True
    decorators = [ast.unparse(each) for each in node.decorator_list]
    return decorators == ["dataclass(frozen=True)"] and not any(
        isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) for each in node.body
    )


RULES = [
    upward_imports,
    circular_imports,
    pytest_imports,
    container_imports,
    long_functions,
    more_than_a_contract,
]


@pytest.mark.parametrize("rule", RULES)
def test_the_package_keeps_each_rule(rule: Callable[[Path], list[str]]):
    """Nothing in the package breaks the rule."""
    assert rule(PROJECT / "src" / "pgherd") == []


@pytest.mark.parametrize("folder", ["app", "tests", "benchmarks", "examples"])
def test_functions_are_short_everywhere(folder: str):
    """No function of the project has more than 40 lines."""
    assert long_functions(PROJECT / folder) == []


def test_every_module_is_read():
    """The rules read all modules, those in folders among them."""
    found = modules(PROJECT / "src" / "pgherd")
    assert {"pgherd", "plugin", "servers", "servers.docker.image", "errors"} <= set(found)


def test_every_layer_exists():
    """Each name in the layers is a module or a folder of the package."""
    parts = {_part(module) for module in modules(PROJECT / "src" / "pgherd")}
    assert {name for layer in LAYERS for name in layer} == parts


FILES = """
plugin fixtures terminal overrides run/__init__ run/coordinator run/sweep peewee/__init__
peewee/binding servers/__init__ servers/external servers/tuning servers/docker/__init__
servers/docker/engine servers/docker/image servers/embedded/__init__ servers/embedded/binaries
template/__init__ template/build clones reset/__init__ reset/generator lending postgres/__init__
postgres/address postgres/databases options errors
"""


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes modules of a package whose other modules are empty."""

    def write(module: str, text: str, **more: str) -> Path:
        root = tmp_path / "pgherd"
        for name in FILES.split():
            path = root / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        (root / "__init__.py").write_text('"""Text."""\n')
        for name, content in {module: text, **more}.items():
            (root / f"{name.replace('__', '/') if name in more else name}.py").write_text(content)
        return root

    return write


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("postgres/address", "from pgherd import clones"),
        ("postgres/address", "from pgherd.clones import make"),
        ("postgres/address", "import pgherd.clones"),
        ("postgres/address", "if TYPE_CHECKING:\n    from pgherd.options import Options"),
        ("postgres/address", "def f():\n    from pgherd import clones"),
        ("postgres/address", "from . import errors"),
        ("postgres/databases", "from pgherd import Address"),
        ("postgres/databases", "from pgherd import options"),
        ("clones", "from pgherd import template"),
        ("clones", "from pgherd.template import build"),
        ("template/build", "from pgherd.reset import generator"),
        ("reset/generator", "from pgherd.servers import tuning"),
        ("servers/docker/image", "from pgherd.servers import external"),
        ("servers/docker/image", "from pgherd.servers.embedded import binaries"),
        ("servers/external", "from pgherd.servers.docker import engine"),
        ("servers/docker/image", "from pgherd.run import sweep"),
        ("run/coordinator", "from pgherd.peewee import create_tables"),
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
        ("servers/docker/image", "from pgherd.servers import Server"),
        ("servers/docker/image", "from pgherd.servers.docker.engine import reason"),
        ("run/coordinator", "from pgherd.servers import external\nfrom pgherd.run import sweep"),
        ("postgres/address", "from pgherd.errors import UsageError"),
        ("peewee/__init__", "import peewee"),
    ],
)
def test_a_downward_import_is_allowed(package, module: str, text: str):
    """An import from a lower layer, from the same folder, or of another package is allowed."""
    root = package(module, text)
    assert upward_imports(root) == []
    assert circular_imports(root) == []


def test_a_circle_is_found(package):
    """Two modules of one folder that import each other are found, wherever the imports are."""
    root = package(
        "run/coordinator",
        "from pgherd.run import sweep",
        run__sweep="def f():\n    from pgherd.run.coordinator import Coordinator",
    )
    assert circular_imports(root) == ["run.coordinator", "run.sweep"]


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("run/coordinator", "import pytest"),
        ("postgres/databases", "from pytest import StashKey"),
        ("postgres/databases", "def f():\n    import _pytest.config"),
    ],
)
def test_an_import_of_pytest_is_found(package, module: str, text: str):
    """Only the modules that hooks and fixtures need import pytest."""
    assert len(pytest_imports(package(module, text))) == 1


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("servers/docker/image", "import docker"),
        ("servers/docker/image", "from testcontainers.core import container"),
        ("servers/docker/image", "class A:\n    import docker.errors"),
        ("run/coordinator", "def f():\n    import docker"),
    ],
)
def test_an_import_of_testcontainers_is_found(package, module: str, text: str):
    """Only servers/docker imports testcontainers, and only inside a function."""
    assert len(container_imports(package(module, text))) == 1


@pytest.mark.parametrize("lines", [40, 41])
def test_a_long_function_is_found(package, lines: int):
    """Forty lines are allowed; one more is not, even where the function is inside another thing."""
    text = "class A:\n    async def f():\n" + "        pass\n" * (lines - 1)
    assert len(long_functions(package("clones", text))) == (lines == 41)


@pytest.mark.parametrize(
    "text",
    [
        "VERSION = 1",
        "def f():\n    pass",
        "if True:\n    import os",
        "class A:\n    pass",
        "@dataclass(frozen=True)\nclass A:\n\n    def f(self):\n        pass",
    ],
)
@pytest.mark.parametrize("module", ["__init__", "run/__init__"])
def test_more_than_a_contract_is_found(package, module: str, text: str):
    """Anything else in an `__init__.py` is found."""
    assert more_than_a_contract(package(module, f'"""Text."""\n{text}')) == [text]


@pytest.mark.parametrize(
    "text",
    ["class A(Protocol):\n    def f(self): ...", "@dataclass(frozen=True)\nclass A:\n    a: int"],
)
def test_a_contract_is_allowed(package, text: str):
    """Protocols and values may stand in an `__init__.py`."""
    assert more_than_a_contract(package("run/__init__", f'"""Text."""\n{text}')) == []


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
