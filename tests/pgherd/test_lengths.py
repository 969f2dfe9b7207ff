"""The rules of the source: functions are short, in pgherd and in the rest of the project.

A test applies each rule to pgherd, and another to a package that breaks the rule, because a rule
that finds nothing would go unnoticed.
"""

from __future__ import annotations

import ast
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT = Path(__file__).parents[2]

# The lengths of functions, in lines from `def` to the end of the body.
LONGEST = 40
MEDIAN = 7
SHORT = 20
SHORT_SHARE = 0.92


def long_functions(*folders: Path) -> list[str]:
    """List the functions of more than 40 lines."""
    return [
        function
        for folder in folders
        for function, length in _function_lengths(folder)
        if length > LONGEST
    ]


def too_long_overall(package: Path) -> list[str]:
    """List what is wrong with a package's functions overall: the median, or the share within 20."""
    lengths = [length for _, length in _function_lengths(package)]
    median = statistics.median(lengths)
    share = sum(length <= SHORT for length in lengths) / len(lengths)
    found = []
    if median > MEDIAN:
        found.append(f"the median function has {median} lines, more than {MEDIAN}")
    if share < SHORT_SHARE:
        found.append(
            f"{share:.1%} of the functions are within {SHORT} lines, not {SHORT_SHARE:.0%}"
        )
    return found


def _function_lengths(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield each function's place and name, and its lines from `def` to the end of the body."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                yield f"{path.name}:{node.lineno} {node.name}", length


@pytest.fixture
def package(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes a package with one module."""

    def write(text: str) -> Path:
        (tmp_path / "clones.py").write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize("rule", [long_functions, too_long_overall])
def test_package_keeps_each_rule(rule: Callable[[Path], list[str]]):
    """The rule finds nothing in pgherd."""
    assert rule(PROJECT / "src" / "pgherd") == []


@pytest.mark.parametrize("folder", ["app", "tests", "benchmarks", "examples"])
def test_no_function_of_the_project_is_long(folder: str):
    """No function outside of the package has more than 40 lines, either."""
    assert long_functions(PROJECT / folder) == []


@pytest.mark.parametrize("lines", [40, 41])
def test_long_function_is_found(package, lines: int):
    """`long_functions` finds a function of 41 lines, even inside a class, but none of 40."""
    text = "class A:\n    async def f():\n" + "        pass\n" * (lines - 1)
    assert len(long_functions(package(text))) == (lines == 41)


@pytest.mark.parametrize(
    ("lengths", "found"),
    [
        ([7] * 92 + [21] * 8, []),
        ([7] * 91 + [21] * 9, ["91.0% of the functions are within 20 lines, not 92%"]),
        ([7] * 51 + [8] * 49, []),
        ([7] * 49 + [8] * 51, ["the median function has 8.0 lines, more than 7"]),
    ],
)
def test_package_with_long_functions_is_found(package, lengths: list[int], found: list[str]):
    """`too_long_overall` finds a median above 7 lines, and a share below 92 % within 20 lines."""
    text = "".join("def f():\n" + "    pass\n" * (length - 1) for length in lengths)
    assert too_long_overall(package(text)) == found
