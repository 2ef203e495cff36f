"""The settings, from the parameters: a frozen dataclass, which derives what is derived and asks for secrets."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from nb2prod.core.pipeline import Parameter
from nb2prod.targets._project.code import annotation_of
from nb2prod.targets._project.defaults import in_the_authors_words
from nb2prod.targets._project.meaning import STATE, Meaning
from nb2prod.targets._project.modules import imports_for, module
from nb2prod.targets._project.names import every_name
from nb2prod.targets._project.text import Changes, changed

DERIVED = "DERIVED: Any = object()  # stands for a value that the other settings give"
SECRET = '''def from_environment(name: str) -> str:
    """A secret, which is neither in the code nor on the command line."""
    if name not in os.environ:
        raise LookupError(f"the environment variable {name} is not set")
    return os.environ[name]'''
CONVERTED = {
    **dict.fromkeys(("any", "str", "unknown"), "{}"),
    "int": "int({})", "float": "float({})", "path": "Path({})", "date": "date.fromisoformat({})",
    "datetime": "datetime.fromisoformat({})",
}  # fmt: skip


def settings_module(found: Meaning, package: str) -> str:
    parameters = found.pipeline.parameters
    if not parameters:
        code = '@dataclass(frozen=True)\nclass Settings:\n    """There is nothing to set."""\n'
        return module("The settings of the pipeline.", ["from dataclasses import dataclass"], code)
    fields = [_field(found, parameter) for parameter in parameters]
    derived = [parameter for parameter in parameters if parameter.derived_from]
    head = ["@dataclass(frozen=True, kw_only=True)", "class Settings:", '    """What a run can be told."""', ""]
    code = "\n".join([*head, *(f"    {field}" for field in fields)])
    if derived:
        code = f"{DERIVED}\n\n\n{code}\n\n{_derivation(derived)}"
    if any(parameter.secret and not parameter.derived_from for parameter in parameters):
        code = f"{SECRET}\n\n\n{code}"
    tree = ast.parse(code)
    used = every_name([tree])
    imports = [*imports_for(found, [tree]), "from dataclasses import dataclass"]
    imports += ["from dataclasses import field"] if "field" in used else []
    imports += ["from typing import Any"] if "Any" in used else []
    imports += [f"import {name}" for name in ("json", "os") if name in used and name not in found.imports]
    own = sorted(used & found.module_names.keys())
    imports += [f"from {package}.{STATE} import {name}" for name in own]
    return module("The settings of the pipeline, with their defaults.", imports, code)


def _field(found: Meaning, parameter: Parameter) -> str:
    head = f"{parameter.name}: {annotation_of(found, parameter.name)}"
    note = f"  # {parameter.help}" if parameter.help else ""
    if parameter.secret and parameter.derived_from:
        return f"{head} = field(default=DERIVED, repr=False){note}"
    if parameter.secret:
        value = CONVERTED.get(parameter.type.kind, "json.loads({})").format(
            f'from_environment("{variable(parameter)}")'
        )
        return f"{head} = field(default_factory=lambda: {value}, repr=False){note}"
    if parameter.required:
        return f"{head}{note}"
    if parameter.derived_from:
        return f"{head} = DERIVED{note}"
    tree = ast.parse(parameter.expression, mode="eval").body
    fresh = isinstance(tree, ast.List | ast.Dict | ast.Set) or parameter.computed
    written = in_the_authors_words(found.pipeline, parameter)
    value = f"field(default_factory=lambda: {written})" if fresh else written
    return f"{head} = {value}{note}"


def variable(secret: Parameter) -> str:
    """The variable of the environment that has a secret."""
    return secret.name.upper()


def _derivation(derived: Iterable[Parameter]) -> str:
    lines = ["    def __post_init__(self) -> None:"]
    for parameter in derived:
        own = Changes({name: f"self.{name}" for name in parameter.derived_from})
        expression = changed(parameter.expression, own)
        lines.append(f"        if self.{parameter.name} is DERIVED:")
        lines.append(f'            object.__setattr__(self, "{parameter.name}", {expression})')
    return "\n".join(lines)
