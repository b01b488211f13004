"""The import rules: data flows one way, and nothing imports upward."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import xfeat_cli

PACKAGE = Path(xfeat_cli.__file__).parent
BASE = {"types", "config", "errors", "coordinates"}

COLLECTIONS = {"images", "pairs", "pair_names", "store", "matching", "model", "demo", "synthesis"}

MAY_IMPORT: dict[str, set[str]] = {
    "types": set(),
    "config": set(),
    "errors": set(),
    "coordinates": set(),
    "journal": set(),
    "sfm_config": {"config"},
    "canvas": BASE,
    "images": BASE,
    "pairs": BASE,
    "pair_names": BASE | {"pairs"},
    "store": BASE | {"journal"},
    "matching": BASE | {"model.network"},
    "model": BASE | {"images", "matching"},
    "demo": BASE,
    "synthesis": BASE,
    "training": BASE | COLLECTIONS | {"canvas", "evaluation", "sfm"},
    "inspection": BASE | {"store"},
    "neighbours": set(),
    "retrieval": BASE | {"neighbours", "pairs", "store"},
    "positions": BASE | {"images", "neighbours", "pairs"},
    "jobs": BASE | COLLECTIONS | {"sfm_config", "sfm", "retrieval"},
    "sfm": BASE | COLLECTIONS | {"sfm_config", "neighbours"},
    "evaluation": BASE | COLLECTIONS | {"sfm_config", "sfm"},
    "benchmark": BASE | COLLECTIONS | {"canvas", "jobs", "evaluation"},
    "cli": BASE
    | COLLECTIONS
    | {"canvas", "sfm_config", "inspection", "jobs", "sfm", "evaluation", "benchmark", "training"}
    | {"retrieval", "positions"},
    "__main__": {"cli"},
}
"""Part of the package → the parts it may import, besides itself. `__init__`, which loads lazily, may import all."""

OWNERS = {
    "h5py": {"store", "benchmark.baseline"},
    "torch": {"model", "matching", "jobs", "benchmark", "synthesis", "training", "evaluation"},
    "safetensors": {"model"},
    "openvino": {"model.openvino_network"},
    "PIL": {"images", "demo", "positions"},
    "cv2": {"images", "canvas", "model", "demo", "benchmark", "training.history"},
    "filelock": {"store"},
    "pycolmap": {"sfm"},
    "poselib": {"evaluation"},
    "kornia": {"matching.lighterglue"},
    "platformdirs": {"model"},
    "typer": {"cli"},
    "tqdm": {"cli"},
    "rich": {"cli"},
}
"""Third-party package → the only parts, or modules, that import it."""


def _modules() -> dict[str, Path]:
    """Dotted names inside the package → files, without `__init__` of the package itself."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


MODULES = _modules()


def _part(module: str) -> str:
    return module.split(".")[0]


def _imports(path: Path) -> set[str]:
    """Every module imported anywhere in a file, as full dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            submodules = {name for name in inside if name.removeprefix("xfeat_cli.") in MODULES}
            found |= submodules if len(submodules) == len(inside) else submodules | {node.module}
    return found


def _of_ours(path: Path) -> set[str]:
    return {name.removeprefix("xfeat_cli.") for name in _imports(path) if name.startswith("xfeat_cli.")}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_imports_upward(module: str) -> None:
    part = _part(module)
    assert part in MAY_IMPORT, f"{part} is new: say here what it may import"
    allowed = MAY_IMPORT[part] | {part}
    wrong = {name for name in _of_ours(MODULES[module]) if name not in allowed and _part(name) not in allowed}
    assert not wrong


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_a_library_has_its_owners(library: str) -> None:
    users = {module for module, path in MODULES.items() if library in {_part(i) for i in _imports(path)}}
    assert not {module for module in users if not {module, _part(module)} & OWNERS[library]}


def test_modules_import_each_other_without_circles() -> None:
    graph = {module: _of_ours(path) & set(MODULES) for module, path in MODULES.items()}
    while leaves := {module for module, imports in graph.items() if not imports}:
        graph = {module: imports - leaves for module, imports in graph.items() if module not in leaves}
    assert not graph


def test_there_is_no_utils() -> None:
    assert not {module for module in MODULES if "util" in module or "helper" in module}


@pytest.mark.parametrize("module", ["xfeat_cli", "xfeat_cli.cli.app", "xfeat_cli.config", "xfeat_cli.errors"])
def test_importing_stays_light(module: str) -> None:
    heavy = {"torch", "numpy", "h5py", "cv2", "PIL", "safetensors"}
    program = f"import sys, {module}; print(*sorted({heavy!r} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_types_and_pairs_need_no_torch() -> None:
    program = (
        "import sys, xfeat_cli.types, xfeat_cli.pairs, xfeat_cli.store, xfeat_cli.images; print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_the_public_names() -> None:
    assert sorted(xfeat_cli.__all__) == [
        "ExtractConfig",
        "Features",
        "MatchConfig",
        "Matches",
        "PointMatches",
        "XFeat",
        "XFeatError",
        "extract",
        "match",
    ]
    for name in xfeat_cli.__all__:
        assert getattr(xfeat_cli, name).__name__ == name
    with pytest.raises(AttributeError, match="nonsense"):
        _ = xfeat_cli.nonsense
