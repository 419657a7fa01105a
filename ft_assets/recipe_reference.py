"""Writes `docs/recipe.md` from the recipe itself, so that the two cannot disagree."""

from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ft_assets.recipe import Recipe
from ft_assets.recipe_data import Source
from ft_assets.recipe_metrics import Metric

_HEAD = """# Recipe reference

One model is one file, `ft_assets/defs/<model>/defs.yaml`. Under `attributes:` it says what is listed here; an unknown
key or a value out of bounds is an error with file, line and column (`dg check yaml`). `make docs` writes this page.
"""


def reference() -> str:
    """The whole page as Markdown."""
    sections = [_section("Recipe", Recipe)]
    for name, field in Recipe.model_fields.items():
        if (model := _model(field)) is not None:
            sections.append(_section(f"`{name}`", model))
        sections += _inner(name, model) if model is not None else []
    for title, union in (("sources", Source), ("evaluation.metrics", Metric)):
        for each in get_args(get_args(union)[0]):
            kind = get_args(each.model_fields["kind"].annotation)[0]
            sections.append(_section(f"`{title}`, `kind: {kind}`", each))
    return "\n".join([_HEAD, *sections]).rstrip()


def _inner(name: str, model: type[BaseModel]) -> list[str]:
    """Sections within a section."""
    return [
        _section(f"`{name}.{field_name}`", inner)
        for field_name, field in model.model_fields.items()
        if (inner := _model(field)) is not None
    ]


def _section(title: str, model: type[BaseModel]) -> str:
    intro = (model.__doc__ or "").strip()
    rows = [_row(field.alias or name, field) for name, field in model.model_fields.items()]
    return "\n".join(
        [f"## {title}", "", intro, "", "| key | default | meaning |", "| --- | --- | --- |", *rows, ""]
    )


def _row(name: str, field: FieldInfo) -> str:
    is_section = _model(field) is not None
    if is_section and field.default is None:
        default, meaning = "left out", field.description or f"The `{name}` section, see below."
    elif is_section or field.default_factory is not None:
        default, meaning = "see below", field.description or f"The `{name}` section."
    else:
        # A kind has a default only for Python: in YAML it says which of several sections this is.
        required = field.default is PydanticUndefined or name == "kind"
        default = "required" if required else f"`{_plain(field.default)}`"
        meaning = field.description or ("Chooses the kind." if name == "kind" else "")
    return f"| `{name}` | {default} | {meaning.replace('|', chr(92) + '|')} |"


def _plain(value: object) -> str:
    """A default as a recipe would write it, where it is a list of sections."""
    if isinstance(value, list) and any(isinstance(each, BaseModel) for each in value):
        said = (each.model_dump(exclude_none=True, by_alias=True) for each in value)
        return f"[{', '.join(map(str, said))}]"
    return repr(value)


def _model(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a section, also of one that may be left out."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None
