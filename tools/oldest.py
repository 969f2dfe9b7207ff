"""Print the oldest packages that pyproject.toml allows, as constraints for pip.

    python tools/oldest.py >oldest.txt
    python -m pip install --constraint oldest.txt --editable . --group tests

This leaves out the packages of app/ and examples/: their lower bounds are the versions that
we used.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path


def main() -> None:
    """Turn each `name>=1.2` of the package, its extras and its tests into `name==1.2`."""
    metadata = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    project, groups = metadata["project"], metadata["dependency-groups"]
    listed = [project["dependencies"], *project["optional-dependencies"].values(), groups["tests"]]
    requirements = [each for one in listed for each in one if isinstance(each, str)]
    found = {re.fullmatch(r"([\w.-]+)>=([\w.]+)", each) for each in requirements} - {None}
    print(*sorted(f"{each[1]}=={each[2]}" for each in found if each), sep="\n")


if __name__ == "__main__":
    main()
