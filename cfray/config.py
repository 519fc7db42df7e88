"""The typed configuration of every job: YAML files with ``key.sub=value`` overrides; unknown keys are refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from cfray.errors import UserError


class Config(BaseModel):
    """Base of all configurations: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


C = TypeVar("C", bound=Config)


def load_config(kind: type[C], path: str | None, overrides: list[str]) -> C:
    """Read a configuration of ``kind`` from a YAML file and overrides such as ``train.steps=10``.

    Raises:
        UserError: if the file is missing or no YAML mapping, an override has no ``=``, or a key or value is refused.
    """
    data: dict[str, Any] = {}
    if path is not None:
        if not Path(path).is_file():
            raise UserError(f"configuration file {path!r} not found; the shipped ones are in jobs/configs")
        loaded = yaml.safe_load(Path(path).read_text())
        if not isinstance(loaded, dict):
            raise UserError(f"configuration file {path!r} is not a mapping of keys to values")
        data = loaded
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise UserError(f"override {override!r} has no '='; write key.sub=value")
        set_dotted(data, key, yaml.safe_load(value))
    return build_config(kind, data)


def build_config(kind: type[C], data: dict[str, Any]) -> C:
    """Validate ``data`` as a ``kind``.

    Raises:
        UserError: one line that names the first refused key, its value and what is allowed.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise UserError(_explain(kind, error)) from None


def config_hash(config: Config) -> str:
    """Twelve hexadecimal digits that name a configuration."""
    return hash_of(config.model_dump(mode="json"))


def hash_of(data: dict[str, Any]) -> str:
    """Twelve hexadecimal digits of plain data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]


def set_dotted(data: dict[str, Any], dotted: str, value: Any) -> None:
    """Put a value at a dotted key of nested mappings, making those that are missing.

    Raises:
        UserError: if the key goes through something that is no mapping.
    """
    *parents, last = dotted.split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise UserError(f"key {dotted!r} goes into {parent!r}, which is a single value")
    data[last] = value


def _explain(kind: type[Config], error: ValidationError) -> str:
    # A misspelt key comes before the missing one that it was to be.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown configuration key {place!r}; known here: {', '.join(_model_at(kind, first['loc'][:-1]).model_fields)}"
    if first["type"] == "union_tag_invalid":
        return f"configuration key {place}.kind={first['ctx']['tag']!r} is unknown; known are {first['ctx']['expected_tags']}"
    if first["type"] == "union_tag_not_found":
        return f"configuration key {place} has no kind; give {place}.kind=..."
    if first["type"] == "missing":
        return f"configuration key {place!r} is missing; give {place}=..."
    return f"configuration key {place}={first['input']!r}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def _model_at(kind: type[Config], location: tuple[int | str, ...]) -> type[BaseModel]:
    """The model that a pydantic error location ends in; it has field names, list indices and the kinds of unions."""
    models = [kind]
    for part in location:
        if isinstance(part, int):
            continue
        tagged = [model for model in models if "kind" in model.model_fields]
        chosen = [model for model in tagged if part in get_args(model.model_fields["kind"].annotation)]
        fields = [model.model_fields[part].annotation for model in models if part in model.model_fields]
        models = chosen or [inner for annotation in fields for inner in _models_in(annotation)]
    return models[0]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Every model inside an annotation such as list[Annotated[A | B, ...]]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]
