"""The published schema of GitHub's workflows, as `check-jsonschema` carries it; read without its command line."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import yaml
from jsonschema import validators  # type: ignore[import-untyped]


def faults(workflow: Path) -> list[str]:
    """What the schema says against a workflow."""
    spec = importlib.util.find_spec("check_jsonschema")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "builtin_schemas" / "vendor" / "github-workflows.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    content = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    content["on"] = content.pop(True)  # YAML 1.1 reads `on` as True
    return [error.message for error in validators.validator_for(schema)(schema).iter_errors(content)]
