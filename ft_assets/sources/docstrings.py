"""Functions of installed Python packages and the first line of their docstrings.

Packages are found and parsed, never imported, so that reading one runs none of its code.
The data is left as it is found: cleaning is the curation stage's work, where it is counted.
"""

import ast
import hashlib
import importlib.util
import textwrap
import tokenize
import warnings
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from ft_assets.errors import WrongInput
from ft_assets.sources.example import Example, Message

PROMPT = "Write the one-line docstring of this Python function.\n\n"

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def read_docstrings(packages: Sequence[str], license: str, max_rows: int) -> Iterator[Example]:
    """At most `max_rows` functions, taken in turn from each package and, within it, from each file.

    Raises:
        WrongInput: a package is not installed, or has no Python source.
    """
    for package in packages:
        _python_files(package)  # all are looked for before the first row is read
    return islice(_in_turn([function_examples(package, license) for package in packages]), max_rows)


def function_examples(package: str, license: str = "PSF-2.0") -> Iterator[Example]:
    """Every module-level function and method of a package that has a docstring; slice: the package.

    Functions inside functions are left out: their text, docstring and all, is part of the outer one's prompt.

    Raises:
        WrongInput: the package is not installed, or has no Python source.
    """
    files = _python_files(package)
    return _in_turn([_file_examples(path, module, package, license) for path, module in files])


def docstrings_stamp(packages: Sequence[str]) -> str:
    """Changes when a file of the packages is added, removed or written."""
    digest = hashlib.sha256()
    for package in packages:
        for path, module in _python_files(package):
            state = path.stat()
            digest.update(f"{module} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _python_files(package: str) -> list[tuple[Path, str]]:
    """Path and module name of every Python file of a package, sorted."""
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None:
        raise WrongInput(
            f"python_docstrings: there is no package `{package}` here; install it, or name another "
            "top-level package under `sources: packages:` of the recipe"
        )
    if spec.submodule_search_locations is None:
        files = [(Path(spec.origin or ""), package)]
    else:
        files = [found for root in spec.submodule_search_locations for found in _walk(Path(root), package)]
    files = [(path, module) for path, module in files if path.suffix == ".py" and path.is_file()]
    if not files:
        raise WrongInput(
            f"python_docstrings: package `{package}` has no Python source (it is compiled); "
            "name another under `sources: packages:` of the recipe"
        )
    return files


def _walk(root: Path, package: str) -> list[tuple[Path, str]]:
    paths = sorted(root.rglob("*.py"))
    return [(path, ".".join([package, *path.relative_to(root).with_suffix("").parts])) for path in paths]


def _file_examples(path: Path, module: str, package: str, license: str) -> Iterator[Example]:
    source = _read(path)
    if source is None:
        return
    created_at = datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
    module = module.removesuffix(".__init__")
    for name, prompt, answer in _documented_functions(source):
        yield Example(
            messages=(
                Message(role="user", content=PROMPT + prompt),
                Message(role="assistant", content=answer),
            ),
            source=f"python:{module}.{name}",
            license=license,
            slice=package,
            created_at=created_at,
        )


def _read(path: Path) -> str | None:
    """The file's text, or None: packages carry templates and test data that are not valid Python."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (SyntaxError, UnicodeDecodeError):
        return None


def _documented_functions(source: str) -> list[tuple[str, str, str]]:
    """(qualified name, source without docstring, first docstring line) of each function, in file order."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in code that is not ours
            functions = list(_functions(ast.parse(source), ""))
    except (SyntaxError, ValueError, RecursionError):
        return []
    lines = source.split("\n")  # as `ast` counts them; splitlines() also splits at form feeds
    found = []
    for name, node in functions:
        docstring = (ast.get_docstring(node) or "").strip()
        if docstring:
            found.append((name, _without_docstring(node, lines), _utf8(docstring.splitlines()[0].strip())))
    return found


def _functions(parent: ast.AST, prefix: str) -> Iterator[tuple[str, _Function]]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, _Function):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.stmt | ast.excepthandler):  # `if`, `try`, `with` at module or class level
            yield from _functions(node, prefix)


def _without_docstring(node: _Function, lines: list[str]) -> str:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
    docstring, rest = node.body[0], node.body[1:]
    start, end = docstring.lineno - 1, docstring.end_lineno or docstring.lineno
    shares_a_line = lines[start][: docstring.col_offset].strip() or (rest and rest[0].lineno <= end)
    if shares_a_line:
        return ast.unparse(_replace_body(node, rest or [ast.Expr(ast.Constant(...))]))
    indent = lines[start][: docstring.col_offset]
    kept = lines[end : node.end_lineno] if rest else [f"{indent}..."]
    while not kept[0].strip():  # the blank line that set the docstring off
        kept = kept[1:]
    return _utf8(textwrap.dedent("\n".join([*lines[first:start], *kept])).strip())


def _replace_body(node: _Function, body: list[ast.stmt]) -> _Function:
    fields = {name: value for name, value in ast.iter_fields(node) if name != "body"}
    return ast.fix_missing_locations(type(node)(body=body, **fields, lineno=node.lineno, col_offset=0))


def _utf8(text: str) -> str:
    """Half surrogate pairs, which a Python literal may spell and UTF-8 cannot, become question marks."""
    return text.encode(errors="replace").decode()


def _in_turn(iterators: Iterable[Iterator[Example]]) -> Iterator[Example]:
    """One of each, then one more of each, until all are spent."""
    waiting = list(iterators)
    while waiting:
        still = []
        for iterator in waiting:
            for example in islice(iterator, 1):
                yield example
                still.append(iterator)
        waiting = still
