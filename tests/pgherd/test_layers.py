"""The rules of the layers: imports point downwards, and an `__init__.py` is a contract.

Each rule is a function that lists the places where a package breaks it. The tests apply each rule
to pgherd, and to a package that breaks the rule, because a rule that finds nothing would go
unnoticed.
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
CONTAINER_PACKAGES = {"testcontainers", "docker"}
STACKS = {"peewee": {"peewee", "playhouse", "peewee_migrate"}}


class Import(NamedTuple):
    """One name that a module imports."""

    by: str
    line: int
    name: str
    postponed: bool
    """Whether it stands in a function, or is for type checkers only."""

    def __str__(self) -> str:
        """Return where the import stands and what it imports."""
        return f"{self.by}:{self.line} imports {self.name}"


def modules(package: Path) -> dict[str, Path]:
    """Return the files of a package, by the names that LAYERS uses."""
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name or package.name] = path
    return found


def imports(package: Path) -> Iterator[Import]:
    """Yield every import of a package, at the top of a module or inside a function."""
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
    """Return the module in a dotted name, which may end in names from inside the module."""
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
    """List the imports of pytest outside of the modules for hooks and fixtures."""
    return [
        str(each)
        for each in imports(package)
        if each.name.split(".")[0] in {"pytest", "_pytest"} and each.by not in IMPORT_PYTEST
    ]


def container_imports(package: Path) -> list[str]:
    """List the imports of testcontainers and docker outside of functions in `servers/docker`.

    These imports take half a second, so only the owner makes them, when it starts a container.
    """
    return [
        str(each)
        for each in imports(package)
        if each.name.split(".")[0] in CONTAINER_PACKAGES
        and not (each.by.startswith("servers.docker.") and each.postponed)
    ]


def private_pytest_imports(package: Path) -> list[str]:
    """List the imports of pytest's private modules."""
    return [str(each) for each in imports(package) if each.name.split(".")[0] == "_pytest"]


def stack_imports(package: Path) -> list[str]:
    """List the imports of an ORM's packages outside of the folder that supports this ORM."""
    return [
        str(each)
        for each in imports(package)
        for folder, packages in STACKS.items()
        if each.name.split(".")[0] in packages and _part(each.by) != folder
    ]


def more_than_a_contract(package: Path) -> list[str]:
    """List the statements in `__init__.py` files that do not belong there.

    Docstrings, imports, `__all__` and contracts belong there. A contract is a class: a Protocol, or
    a frozen dataclass without methods.
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
    private_pytest_imports,
    container_imports,
    stack_imports,
    more_than_a_contract,
]


@pytest.mark.parametrize("rule", RULES)
def test_package_keeps_each_rule(rule: Callable[[Path], list[str]]):
    """The rule finds nothing in pgherd."""
    assert rule(PROJECT / "src" / "pgherd") == []


def test_modules_are_found_in_all_folders():
    """`modules` finds the modules at the top of the package and in its folders."""
    found = modules(PROJECT / "src" / "pgherd")
    assert {"pgherd", "plugin", "servers", "servers.docker.image", "errors"} <= set(found)


def test_layers_name_all_parts_of_the_package():
    """LAYERS names each module and each folder at the top of the package, and nothing else."""
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
    """Return a function that writes a package with some modules; its other modules are empty."""

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
def test_upward_import_is_found(package, module: str, text: str):
    """`upward_imports` finds an import from the same or a higher layer, however it is written."""
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
def test_downward_import_is_allowed(package, module: str, text: str):
    """A module may import from a lower layer, its own folder, or another package."""
    root = package(module, text)
    assert upward_imports(root) == []
    assert circular_imports(root) == []


def test_circular_import_is_found(package):
    """`circular_imports` finds two modules of one folder that import each other."""
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
def test_import_of_pytest_is_found(package, module: str, text: str):
    """`pytest_imports` finds an import of pytest in any other module, even inside a function."""
    assert len(pytest_imports(package(module, text))) == 1


@pytest.mark.parametrize("text", ["import _pytest", "def f():\n    from _pytest import fixtures"])
def test_import_of_private_pytest_is_found(package, text: str):
    """`private_pytest_imports` finds an import even in a module that may import pytest."""
    assert len(private_pytest_imports(package("plugin", text))) == 1
    assert pytest_imports(package("plugin", text)) == []


@pytest.mark.parametrize("module", ["plugin", "postgres/address", "peewee/binding"])
@pytest.mark.parametrize("text", ["import peewee", "def f():\n    from playhouse import pool"])
def test_import_of_an_orm_is_found(package, module: str, text: str):
    """`stack_imports` finds an import of peewee's packages outside of the folder `peewee`."""
    assert len(stack_imports(package(module, text))) == (module != "peewee/binding")


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("servers/docker/image", "import docker"),
        ("servers/docker/image", "from testcontainers.core import container"),
        ("servers/docker/image", "class A:\n    import docker.errors"),
        ("run/coordinator", "def f():\n    import docker"),
    ],
)
def test_import_of_testcontainers_is_found(package, module: str, text: str):
    """`container_imports` finds an import in another folder, or outside of a function."""
    assert len(container_imports(package(module, text))) == 1


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
def test_code_in_an_init_file_is_found(package, module: str, text: str):
    """`more_than_a_contract` finds a statement that does not belong in an `__init__.py`."""
    assert more_than_a_contract(package(module, f'"""Text."""\n{text}')) == [text]


@pytest.mark.parametrize(
    "text",
    ["class A(Protocol):\n    def f(self): ...", "@dataclass(frozen=True)\nclass A:\n    a: int"],
)
def test_contract_in_an_init_file_is_allowed(package, text: str):
    """An `__init__.py` may define Protocols and frozen dataclasses."""
    assert more_than_a_contract(package("run/__init__", f'"""Text."""\n{text}')) == []


def test_importing_the_plugin_loads_no_heavy_package():
    """Importing the plugin loads no heavy package, because every worker imports it."""
    program = (
        "import pgherd.plugin, pgherd.servers.docker, sys; unwanted = "
        "{'testcontainers', 'docker', 'peewee', 'playhouse', 'flask', 'xdist', 'requests'}; "
        "print(sorted(unwanted & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert result.stdout == "[]\n"
