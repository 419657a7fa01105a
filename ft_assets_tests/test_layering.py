"""The shape of the package: who may import whom, and how long a thing may be."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import ft_assets

PACKAGE = Path(ft_assets.__file__).parent
STAGES = (
    "storage",
    "sources",
    "bases",
    "curation",
    "splitting",
    "training",
    "evaluation",
    "registry",
    "rollout",
    "serving",
    "flywheel",
    "monitoring",
)
GROUND = {"ft_assets", "ft_assets.recipe", "ft_assets.recipe_data", "ft_assets.errors"}
GROUND |= {"ft_assets.recipe_cost", "ft_assets.recipe_search", "ft_assets.recipe_training"}
GROUND |= {"ft_assets.recipe_evaluation", "ft_assets.recipe_metrics"}
GROUND |= {"ft_assets.recipe_rollout", "ft_assets.recipe_honesty", "ft_assets.recipe_tracking"}
DAGSTER_FILES = {"assets.py", "checks.py", "sensors.py", "component.py", "definitions.py"}
DAGSTER_PLACES = ("defs/", "demo/", "cli.py")
HEAVY = {
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "evidently",
    "bentoml",
    "pandas",
    "matplotlib",
    "lm_eval",
    "optuna",
}
HEAVY |= {
    "datasets",
    "trl",
    "presidio_analyzer",
    "spacy",
    "tokenizers",
    "wordllama",
    "py3langid",
    "rapidfuzz",
}

FILES = sorted(PACKAGE.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def stage_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in STAGES else None


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


MODULES = {module_name(path): path for path in FILES}


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module that a file imports, at the top or inside a function; our own ones as they are on disk."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = absolute(path, node)
            submodules = {f"{base}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= submodules
            if len(submodules) < len(node.names):  # at least one of the names is not a module
                found.add(base)
    return frozenset(found)


def absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module_name(path).split(".")
    package = package if path.name == "__init__.py" else package[:-1]
    return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])


def reachable(module: str) -> set[str]:
    """Our modules that importing this one, and calling anything in it, may import."""
    seen: set[str] = set()
    open_ends = [module]
    while open_ends:
        name = open_ends.pop()
        if name in seen or name not in MODULES:
            continue
        seen.add(name)
        open_ends += imports(MODULES[name])
    return seen


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, Function))


def public_functions(path: Path) -> Iterator[Function]:
    """Functions and methods of public classes; what is nested in a function is nobody else's business."""
    for node in tree(path).body:
        if isinstance(node, Function):
            yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from (item for item in node.body if isinstance(item, Function))


def unannotated(function: Function) -> list[str]:
    given = function.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    missing = [
        each.arg for each in arguments if each and not each.annotation and each.arg not in ("self", "cls")
    ]
    return missing if function.returns else [*missing, "return"]


def test_there_is_something_to_look_at() -> None:
    assert {"ft_assets.storage.home", "sqlalchemy"} <= imports(MODULES["ft_assets.splitting.pages"])
    assert "alembic" in imports(MODULES["ft_assets.storage.database"])  # which imports it inside a function
    assert "ft_assets.recipe" in reachable("ft_assets.splitting.assets")
    assert {stage for stage in STAGES if not (PACKAGE / stage).is_dir()} == set()


def test_dagster_is_imported_only_by_the_dagster_layer() -> None:
    offenders = {
        relative(path)
        for path in FILES
        if any(name.split(".")[0] == "dagster" for name in imports(path))
        and path.name not in DAGSTER_FILES
        and not relative(path).startswith(DAGSTER_PLACES)
    }
    assert offenders == set()


def test_plain_modules_do_not_reach_the_dagster_layer() -> None:
    # A worker or the service that imports an assets.py would load all of dagster, and turn the layers over.
    offenders = {
        (module, name)
        for module, path in MODULES.items()
        if stage_of(module) and path.name not in DAGSTER_FILES
        for name in imports(path)
        if name in MODULES and MODULES[name].name in DAGSTER_FILES
    }
    assert offenders == set()


def test_stages_import_only_stages_before_them() -> None:
    offenders = set()
    for module, path in MODULES.items():
        if (stage := stage_of(module)) is None:
            continue
        allowed = STAGES[: STAGES.index(stage) + 1]
        ours = {name for name in imports(path) if name.split(".")[0] == "ft_assets"}
        offenders |= {(module, name) for name in ours - GROUND if stage_of(name) not in allowed}
    assert offenders == set()


@pytest.mark.parametrize("stage", ["serving", "rollout"])
def test_training_is_out_of_reach_of(stage: str) -> None:
    offenders = {
        (module, name)
        for module in MODULES
        if stage_of(module) == stage
        for name in reachable(module)
        if stage_of(name) == "training"
    }
    assert offenders == set()


def test_loading_the_definitions_imports_nothing_heavy() -> None:
    script = (
        "import json, sys\n"
        "from ft_assets.definitions import defs\n"
        "loaded = defs()\n"
        "assert loaded.resolve_all_asset_keys()\n"
        f"print(json.dumps(sorted({HEAVY!r} & sys.modules.keys())))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_future_annotations_are_not_used() -> None:
    # Dagster could not resolve the annotations of assets and configs.
    assert {relative(path) for path in FILES if "__future__" in imports(path)} == set()


def test_every_module_says_what_it_is() -> None:
    assert {
        relative(path) for path in FILES if tree(path).body and not ast.get_docstring(tree(path))
    } == set()


def test_every_function_is_annotated() -> None:
    offenders = {
        (relative(path), function.lineno, function.name, *missing)
        for path in FILES
        for function in public_functions(path)
        if (missing := unannotated(function))
    }
    assert offenders == set()


def test_files_are_short() -> None:
    lengths = {relative(path): len(path.read_text().splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_functions_are_short() -> None:
    offenders = {
        (relative(path), function.name, length)
        for path in FILES
        if "migrations" not in path.parts  # one list of tables, written once and never read as prose
        for function in functions(path)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > 60
    }
    assert offenders == set()
