"""The contract: an OpenAPI 3.1 document whose schema of a row is made from the same types that validate it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from .errors import Refusal
from .package_folder import PackageFolder
from .protocol import FORMATS
from .rows import Validator

_REFUSALS = {
    "400": "The body is not a request",
    "413": "Too many bytes or rows",
    "415": "The body's type is not taken",
    "422": "The rows do not fit the signature: fields and reasons, without values",
    "500": "The model failed; the log has it under the id in the reason",
    "503": "Not loaded, stopping, or overloaded; try again after Retry-After seconds",
    "504": "The prediction took too long",
}
_FIELD = {
    "type": "object",
    "properties": {
        "row": {"type": ["integer", "null"], "description": "counted from 0"},
        "field": {"type": "string"},
        "reason": {"type": "string"},
    },
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["status", "reason", "fields", "request_id"],
            "properties": {
                "status": {"type": "integer"},
                "reason": {"type": "string"},
                "fields": {"type": "array", "items": _FIELD},
                "request_id": {"type": "string"},
            },
        }
    },
}
_MODEL = {
    "type": "object",
    "required": ["name", "version", "digest"],
    "properties": {"name": {"type": "string"}, "version": {"type": "string"}, "digest": {"type": "string"}},
}
_PREDICTIONS = {"type": "array", "items": {}}


def document(app: FastAPI, folder: PackageFolder, validator: Validator | None, *, needs_token: bool) -> dict[str, Any]:
    made = get_openapi(title=app.title, version=app.version, routes=app.routes)
    made["info"]["x-model-digest"] = folder.digest
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    schemas |= {"Error": _ERROR, "Model": _MODEL}
    _describe_invocations(made["paths"]["/invocations"]["post"])
    if validator is None:
        del made["paths"]["/predict"]
    else:
        schemas |= _row_schemas(validator)
        schemas["PredictRequest"] = _request_schema(folder, validator)
        _describe_predict(made["paths"]["/predict"]["post"])
    for path in ("/predict", "/invocations"):
        if needs_token and path in made["paths"]:
            made["paths"][path]["post"]["security"] = [{"bearer": []}]
    if needs_token:
        made["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    return made


def _row_schemas(validator: Validator) -> dict[str, Any]:
    row = validator.row.json_schema(ref_template="#/components/schemas/{model}")
    return {**row.pop("$defs", {}), "Row": row}


def _request_schema(folder: PackageFolder, validator: Validator) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {"rows": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}}},
    }
    example = _fitting_example(folder, validator)
    return {**schema, "examples": [{"rows": example}]} if example else schema


def _fitting_example(folder: PackageFolder, validator: Validator) -> list[Any]:
    """The input example's rows, or none when they are not what this service would take."""
    try:
        validator.rows(folder.example)
    except Refusal:
        return []
    return list(folder.example)


def _describe_predict(operation: dict[str, Any]) -> None:
    answer = {
        "type": "object",
        "required": ["predictions", "model"],
        "properties": {"predictions": _PREDICTIONS, "model": {"$ref": "#/components/schemas/Model"}},
    }
    request = {"application/json": {"schema": {"$ref": "#/components/schemas/PredictRequest"}}}
    operation["requestBody"] = {"required": True, "content": request}
    operation["responses"] = _responses(answer)


def _describe_invocations(operation: dict[str, Any]) -> None:
    request = {
        "type": "object",
        "properties": {**{name: {} for name in FORMATS}, "params": {"type": "object"}},
        "oneOf": [{"required": [name]} for name in FORMATS],
        "additionalProperties": False,
    }
    content = {"application/json": {"schema": request}, "text/csv": {"schema": {"type": "string"}}}
    operation["requestBody"] = {"required": True, "content": content}
    answer = {"type": "object", "required": ["predictions"], "properties": {"predictions": _PREDICTIONS}}
    operation["responses"] = _responses(answer)


def _responses(answer: dict[str, Any]) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    refusals = {status: {"description": text, "content": error} for status, text in _REFUSALS.items()}
    return {"200": {"description": "Predictions", "content": {"application/json": {"schema": answer}}}, **refusals}
