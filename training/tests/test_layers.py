"""Which part of the package may import which."""

import ast
from pathlib import Path

import onepass_training

LAYERS = ("world", "model", "data", "learn", "evaluation", "release", "report", "commands")
"""Each may import those before it. Modules beside them (settings, progress, machine, arguments) stand below or above all."""
PACKAGE = Path(onepass_training.__file__).parent


def imports(path: Path) -> set[str]:
    """Parts of the package that a file imports."""
    here = path.relative_to(PACKAGE).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            target = (*here[: len(here) - node.level + 1], *(node.module or "").split("."))
            found.add(next(part for part in target if part) if any(target) else "")
    return found - {here[0] if here else ""}


def test_parts_import_only_those_below_them():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        part = path.relative_to(PACKAGE).parts[0]
        for other in imports(path):
            if part in LAYERS and other in LAYERS and LAYERS.index(other) >= LAYERS.index(part):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {other}")
    assert not wrong
