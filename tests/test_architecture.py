"""The import rules: data flows one way, and nothing imports upward."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import xfeat_cli

PACKAGE = Path(xfeat_cli.__file__).parent
MAY_IMPORT: dict[str, set[str]] = {
    "version": set(),
    "errors": set(),
    "types": set(),
    "coordinates": set(),
    "config": {"errors"},
    "files": {"errors"},
    "cameras": {"errors", "files"},
    "canvas": {"errors", "files"},
    "raster": {"errors"},
    "decoding": {"camera_raw", "coordinates", "errors", "heif", "native", "raster", "types"},
    "photo_names": set(),
    "camera_raw": {"errors", "photo_names", "raster"},
    "heif": set(),
    "video": {"errors"},
    "metadata": {"camera_raw", "heif"},
    "images": {"coordinates", "decoding", "errors", "files", "photo_names", "types"},
    "store": {"errors", "files", "types", "version"},
    "inspection": {"errors", "store"},
    "native": set(),
    "machine": {"config", "errors"},
    "doctor": {
        *("config", "errors", "files", "images", "inspection", "pairing", "photo_names", "sfm", "store", "types"),
        "xfeat",
    },
    "model": {"config", "coordinates", "errors", "files", "machine", "native", "types", "version"},
    "matching": {"config", "coordinates", "errors", "machine", "model", "native", "types"},
    "xfeat": {"config", "coordinates", "decoding", "errors", "images", "machine", "matching", "model", "types"},
    "refinement": {"config", "coordinates", "types"},
    "pairing": {"config", "errors", "files", "images", "metadata", "photo_names", "store", "types"},
    "sfm": {"cameras", "config", "coordinates", "errors", "files", "images", "metadata", "pairing", "store", "types"},
    "alignment": set(),
    "view": {"coordinates", "decoding", "errors", "types"},
    "report": {"alignment", "coordinates", "errors", "sfm", "types", "version", "view"},
    "jobs": {
        *("config", "coordinates", "errors", "files", "images", "machine", "matching", "model", "pairing"),
        *("photo_names", "refinement", "sfm", "video", "store", "types", "xfeat"),
        *("report", "version", "view"),
        "localization",
    },
    "scale": {"config", "errors", "images", "jobs", "machine", "model", "pairing", "store", "types", "version"},
    "synthesis": {"coordinates"},
    "demo": {"cameras", "errors", "files"},
    "evaluation": {
        *(
            "alignment",
            "cameras",
            "canvas",
            "config",
            "coordinates",
            "errors",
            "files",
            "images",
            "machine",
            "matching",
            "model",
        ),
        *("pairing", "refinement", "sfm", "store", "synthesis", "types", "xfeat"),
    },
    "export": {"config", "coordinates", "errors", "files", "matching", "model", "types", "xfeat"},
    "localization": {
        *("config", "coordinates", "errors", "images", "matching", "metadata", "pairing", "sfm", "store", "types"),
        "xfeat",
    },
    "training": {
        *("canvas", "config", "coordinates", "decoding", "errors", "evaluation", "files", "images", "machine", "model"),
        *("pairing", "sfm", "store", "synthesis", "types", "version", "xfeat"),
    },
    "benchmark": {
        *("canvas", "config", "decoding", "demo", "errors", "images", "jobs", "machine", "matching", "model"),
        *("pairing", "store", "types", "version", "xfeat"),
    },
    "cli": {
        *("benchmark", "cameras", "canvas", "config", "demo", "errors", "evaluation", "export", "files", "images"),
        *("inspection", "jobs", "localization", "model", "native", "pairing", "sfm", "store", "training", "types"),
        *("version", "xfeat"),
        *("doctor", "report", "scale", "view"),
    },
    "__main__": {"cli"},
}
"""Part of the package → the parts it may import, besides itself. `xfeat_cli/__init__` loads lazily and may import all;
nothing imports it."""

OWNERS = {
    "h5py": {"store", "benchmark.baseline"},
    "torch": {
        "model",
        "machine",
        "matching",
        "xfeat",
        "jobs",
        "benchmark",
        "synthesis",
        "training",
        "evaluation",
        "export",
        "localization",
    },
    "safetensors": {"model"},
    "openvino": {"model.openvino_network"},
    "onnxruntime": {"model.onnx_network", "export.formats"},
    "PIL": {"decoding", "raster", "demo", "metadata", "view"},
    "cv2": {"decoding", "canvas", "video", "model", "machine.threads", "xfeat", "demo", "benchmark", "training.history"}
    | {"evaluation.chart", "evaluation.opencv_features", "raster", "refinement", "view", "jobs.report"},
    "av": {"video"},
    "pillow_heif": {"heif"},
    "rawpy": {"camera_raw"},
    "filelock": {"store"},
    "pycolmap": {"sfm"},
    "rerun": {"sfm.export"},
    "jinja2": {"report"},
    "ray": {"scale"},
    "poselib": {"evaluation", "localization"},
    "kornia": {"matching.lighterglue", "benchmark.alternatives"},
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
    """Every module imported anywhere in a file, as full dotted names; a name of `xfeat_cli` itself as `xfeat_cli`."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                imported.add(submodule if submodule.removeprefix("xfeat_cli.") in MODULES else node.module)
    return imported


def _imports_of_ours(path: Path) -> set[str]:
    return {name.removeprefix("xfeat_cli.") for name in _imports(path) if _part(name) == "xfeat_cli"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_imports_upward(module: str) -> None:
    part = _part(module)
    assert part in MAY_IMPORT, f"{part} is new: say here what it may import"
    allowed = MAY_IMPORT[part] | {part}
    assert not {name for name in _imports_of_ours(MODULES[module]) if _part(name) not in allowed}


def test_every_row_is_a_part() -> None:
    parts = {_part(module) for module in MODULES}
    assert parts == MAY_IMPORT.keys()
    assert all(row <= parts for row in MAY_IMPORT.values())


NEVER = {
    "store": {"torch", "images", "model", "pairing"},
    "model": {"matching", "store", "pairing", "jobs", "sfm"},
    "matching": {"store", "images", "jobs"},
    "pairing": {"model", "matching", "sfm"},
    "sfm": {"model", "matching", "demo", "torch"},
    "evaluation": {"demo", "jobs", "training"},
    "jobs": {"training", "evaluation", "benchmark", "cli"},
    "training": {"jobs", "cli"},
    "view": {"model", "store", "sfm", "jobs", "torch"},
}
"""Part → what it never imports, whatever the rows above come to say."""


@pytest.mark.parametrize("part", sorted(NEVER))
def test_never(part: str) -> None:
    assert not MAY_IMPORT[part] & NEVER[part]
    for library in NEVER[part] & OWNERS.keys():
        assert part not in OWNERS[library]


def test_only_the_command_line_and_benchmarks_use_the_demo() -> None:
    assert {part for part, row in MAY_IMPORT.items() if "demo" in row} == {"cli", "benchmark"}


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_a_library_has_its_owners(library: str) -> None:
    users = {module for module, path in MODULES.items() if library in {_part(i) for i in _imports(path)}}
    assert not {module for module in users if not {module, _part(module)} & OWNERS[library]}


def test_modules_import_each_other_without_circles() -> None:
    graph = {module: _imports_of_ours(path) & set(MODULES) for module, path in MODULES.items()}
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
        "import sys, xfeat_cli.types, xfeat_cli.pairing.lists, xfeat_cli.store.reader, xfeat_cli.images; "
        "print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_the_public_names() -> None:
    assert sorted(xfeat_cli.__all__) == [
        "AggregateConfig",
        "CameraConfig",
        "ExtractConfig",
        "Features",
        "LocalizeConfig",
        "Localizer",
        "MappingConfig",
        "MatchConfig",
        "Matches",
        "PairConfig",
        "PointMatches",
        "SfmConfig",
        "TrainConfig",
        "VerificationConfig",
        "XFeat",
        "XFeatError",
        "aggregate",
        "extract",
        "match",
        "reconstruct",
        "train",
    ]
    for name in xfeat_cli.__all__:
        assert getattr(xfeat_cli, name).__name__ == name
    with pytest.raises(AttributeError, match="nonsense"):
        _ = xfeat_cli.nonsense
