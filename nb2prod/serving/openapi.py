"""The contract: an OpenAPI 3.1 document whose schema of a row is made from the same types that validate it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from .errors import Refusal
from .inference import OUTPUT, inputs_of
from .package_folder import PackageFolder
from .protocol import FORMATS
from .rows import Validator
from .signature import Column, Signature, Tensor

_REFUSALS = {
    "400": "The body is not a request",
    "408": "The body took too long to arrive",
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
_INFERENCE_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_MODEL = {
    "type": "object",
    "required": ["name", "version", "digest"],
    "properties": {"name": {"type": "string"}, "version": {"type": "string"}, "digest": {"type": "string"}},
}
_OPERATION = {
    "/livez": ("Whether the process should live on", "text/plain"),
    "/readyz": ("Whether to send requests", "text/plain"),
    "/metrics": ("For Prometheus", "text/plain"),
    "/v2/health/live": ("Whether the process should live on", "application/json"),
    "/v2/health/ready": ("Whether to send requests", "application/json"),
    "/v2": ("What serves", "application/json"),
}
_DATATYPES = ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"]
_DATATYPES += ["FP16", "FP32", "FP64", "BYTES"]
_PREDICTED = {"boolean": "boolean", "integer": "integer", "long": "integer", "float": "number", "double": "number"}


def infer_path(name: str) -> str:
    return f"/v2/models/{quote(name, safe='')}/infer"


def document(
    folder: PackageFolder, validator: Validator | None, *, needs_token: bool, with_values: bool = True
) -> dict[str, Any]:
    """The document; without `with_values` it has none of the values that the package's example has."""
    paths: dict[str, Any] = {"/invocations": {"post": _invocations()}}
    schemas: dict[str, Any] = {"Error": _ERROR, "InferenceError": _INFERENCE_ERROR, "Model": _MODEL}
    if validator is not None and folder.signature is not None:
        example = _fitting_example(folder, validator) if with_values else []
        schemas |= _row_schemas(validator) | {"PredictRequest": _request_schema(example)}
        schemas |= {"InferenceRequest": _inference_request(folder.signature, example)}
        paths = {"/predict": {"post": _predict(folder.signature)}, **paths}
        if inputs_of(folder.signature):
            paths[infer_path(folder.name)] = {"post": _infer()}
    for path in paths if needs_token else ():
        paths[path]["post"]["security"] = [{"bearer": []}]
    paths |= {path: {"get": _asked_by_an_operator(path)} for path in _operation_paths(folder)}
    components: dict[str, Any] = {"schemas": schemas}
    if needs_token:
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    info = {"title": folder.name, "version": folder.version or "0", "x-model-digest": folder.digest}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": components}


# ---- scoring ---------------------------------------------------------------------------------------------------------


def _predict(signature: Signature) -> dict[str, Any]:
    answer = {
        "type": "object",
        "required": ["predictions", "model"],
        "properties": {"predictions": _predictions(signature), "model": {"$ref": "#/components/schemas/Model"}},
    }
    body = {"application/json": {"schema": {"$ref": "#/components/schemas/PredictRequest"}}}
    return _scoring("Predictions for typed rows", body, answer, "Error")


def _predictions(signature: Signature) -> dict[str, Any]:
    """An array with an item for each row, typed as the signature's outputs are. A missing one is null."""
    outputs = signature.outputs
    if len(outputs) == 1 and isinstance(outputs[0], Tensor):
        return _nested(outputs[0])
    if outputs and all(isinstance(o, Column) for o in outputs):
        columns = {o.name: _typed(_PREDICTED.get(o.kind.name)) for o in outputs if isinstance(o, Column)}
        named = {"type": "object", "properties": columns}
        return {"type": "array", "items": {"anyOf": [named, *columns.values()]} if len(columns) == 1 else named}
    return {"type": "array", "items": {}}


def _nested(tensor: Tensor) -> dict[str, Any]:
    kinds = {"float": "number", "int": "integer", "uint": "integer", "bool": "boolean", "str": "string"}
    found = _typed(next((kind for begin, kind in kinds.items() if tensor.dtype.startswith(begin)), None))
    for _ in tensor.shape:
        found = {"type": "array", "items": found}
    return found


def _typed(kind: str | None) -> dict[str, Any]:
    return {"type": [kind, "null"]} if kind else {}


def _invocations() -> dict[str, Any]:
    request = {
        "type": "object",
        "properties": {**{name: {} for name in FORMATS}, "params": {"type": "object"}},
        "oneOf": [{"required": [name]} for name in FORMATS],
        "additionalProperties": False,
    }
    content = {"application/json": {"schema": request}, "text/csv": {"schema": {"type": "string"}}}
    answer = {"type": "object", "required": ["predictions"], "properties": {"predictions": {}}}
    return _scoring("Predictions through MLflow's protocol", content, answer, "Error")


def _scoring(summary: str, content: dict[str, Any], answer: dict[str, Any], error: str) -> dict[str, Any]:
    refused = {"application/json": {"schema": {"$ref": f"#/components/schemas/{error}"}}}
    told = {status: {"description": text, "content": refused} for status, text in _REFUSALS.items()}
    told["401"] = {"description": "The token is missing or wrong", "content": refused}
    good = {"description": "Predictions", "content": {"application/json": {"schema": answer}}}
    return {
        "summary": summary,
        "tags": ["scoring"],
        "requestBody": {"required": True, "content": content},
        "responses": {"200": good, **dict(sorted(told.items()))},
    }


def _row_schemas(validator: Validator) -> dict[str, Any]:
    row = validator.row.json_schema(ref_template="#/components/schemas/{model}")
    return {**row.pop("$defs", {}), "Row": row}


def _request_schema(example: list[Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {"rows": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}}},
    }
    return {**schema, "examples": [{"rows": example}]} if example else schema


def _fitting_example(folder: PackageFolder, validator: Validator) -> list[Any]:
    """The input example's rows, or none when they are not what this service would take."""
    try:
        validator.rows(folder.example)
    except Refusal:
        return []
    return list(folder.example)


# ---- the Open Inference Protocol -------------------------------------------------------------------------------------


def _infer() -> dict[str, Any]:
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": _tensor_properties(),
    }
    answer = {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": tensor},
        },
    }
    body = {"application/json": {"schema": {"$ref": "#/components/schemas/InferenceRequest"}}}
    return _scoring("Predictions through the Open Inference Protocol", body, answer, "InferenceError")


def _tensor_properties() -> dict[str, Any]:
    return {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "datatype": {"enum": _DATATYPES},
        "parameters": {"type": "object"},
        "data": {"type": "array", "items": {}},
    }


def _inference_request(signature: Signature, example: list[Any]) -> dict[str, Any]:
    inputs = inputs_of(signature)
    names = {"name": {"enum": [name for name, _, _ in inputs]}} if inputs else {}
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "additionalProperties": False,
        "properties": {**_tensor_properties(), **names},
    }
    output = {"type": "object", "required": ["name"], "properties": {"name": {"const": OUTPUT}}}
    schema = {
        "type": "object",
        "required": ["inputs"],
        "additionalProperties": False,
        "properties": {
            "id": {"type": "string", "maxLength": 200},
            "parameters": {"type": "object"},
            "inputs": {"type": "array", "items": tensor},
            "outputs": {"type": "array", "items": output},
        },
    }
    as_columns = _as_columns(signature, example)
    return {**schema, "examples": [{"inputs": as_columns}]} if as_columns else schema


def _as_columns(signature: Signature, example: list[Any]) -> list[dict[str, Any]]:
    if not example or not signature.columns or not all(isinstance(row, dict) for row in example):
        return []
    return [
        {"name": name, "shape": [len(example)], "datatype": kind, "data": [row.get(name) for row in example]}
        for name, kind, _ in inputs_of(signature)
        if all(name in row for row in example)
    ]


# ---- operation -------------------------------------------------------------------------------------------------------


def _operation_paths(folder: PackageFolder) -> tuple[str, ...]:
    model = infer_path(folder.name).removesuffix("/infer")
    return (*_OPERATION, model, f"{model}/ready")


def _asked_by_an_operator(path: str) -> dict[str, Any]:
    summary, media = _OPERATION.get(path, ("The model", "application/json"))
    responses: dict[str, Any] = {"200": {"description": "Yes", "content": {media: {}}}}
    if path.endswith(("live", "ready", "livez", "readyz")):
        responses["503"] = {"description": "No", "content": {media: {}}}
    return {"summary": summary, "tags": ["operation"], "responses": responses}
