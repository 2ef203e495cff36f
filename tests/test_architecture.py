"""The house stands as it was drawn: light at the door, frozen inside, plug-ins found or refused loudly."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pytest

import nb2prod
import nb2prod.cli
import nb2prod.core
from nb2prod import plugins
from nb2prod.core.errors import Nb2prodError, PluginError

HEAVY = ("mlflow", "sklearn", "pandas", "numpy", "papermill", "nbformat", "nbclient", "matplotlib", "rich", "pytest")
VERBS = ["nb2prod.cli", *sorted(f"nb2prod.cli.{file.name}" for file in pkgutil.iter_modules(nb2prod.cli.__path__))]
DOORS = {
    "import nb2prod": "import nb2prod",
    "nb2prod --help": "import nb2prod.cli as c\ntry:\n    c.main(['--help'])\nexcept SystemExit:\n    pass",
    "%load_ext nb2prod": (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "before = set(sys.modules)\n"
        "InteractiveShell.instance().run_line_magic('load_ext', 'nb2prod')"
    ),
    "pytest's plug-in": "import pytest\nbefore = set(sys.modules)\nimport nb2prod.pytest_plugin",
}


@pytest.mark.parametrize("door", DOORS)
def test_a_door_loads_no_heavy_library(door: str) -> None:
    code = f"import sys\nbefore = set()\n{DOORS[door]}\nheavy = {HEAVY!r}\n"
    code += "print('LOADED', sorted(set(heavy) & (set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_click_is_all_that_help_needs() -> None:
    """Start-up is part of the product: the help loads click and the modules of the command line."""
    code = "import sys, nb2prod.cli as c\ntry:\n    c.main(['--help'])\nexcept SystemExit:\n    pass\n"
    code += "print('OURS', sorted(m for m in sys.modules if m.startswith('nb2prod')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"OURS {['nb2prod', *VERBS]}"


def core_classes() -> Iterator[type]:
    for module in pkgutil.iter_modules(nb2prod.core.__path__):
        found = importlib.import_module(f"nb2prod.core.{module.name}")
        yield from (kind for _, kind in inspect.getmembers(found, inspect.isclass) if kind.__module__ == found.__name__)


def test_every_value_of_the_core_is_frozen() -> None:
    values = [kind for kind in core_classes() if dataclasses.is_dataclass(kind)]
    assert len(values) > 25
    assert [kind.__name__ for kind in values if not kind.__dataclass_params__.frozen] == []  # type: ignore[attr-defined]


def test_every_exception_of_ours_is_in_the_tree_with_an_exit_code() -> None:
    errors = [kind for kind in core_classes() if issubclass(kind, BaseException)]
    assert all(issubclass(kind, Nb2prodError) for kind in errors)
    assert {kind.exit_code for kind in errors if issubclass(kind, Nb2prodError)} == {1, 2, 3, 4, 5, 6, 7}


def test_what_is_exported_is_there() -> None:
    assert [name for name in nb2prod.__all__ if not callable(getattr(nb2prod, name))] == []


def test_every_command_is_a_function_of_the_package() -> None:
    """But for `cache`, which looks after a store and does nothing to a notebook."""
    commands = {file.name for file in pkgutil.iter_modules(nb2prod.cli.__path__) if not file.name.startswith("_")}
    assert commands - set(nb2prod.__all__) == {"cache"}


@pytest.mark.parametrize("kind", plugins.OFFERS)
def test_every_file_in_a_folder_of_plug_ins_is_a_plug_in(kind: plugins.Kind) -> None:
    for name, module in plugins.every(kind):
        assert plugins.find(kind, name) is module
        assert (module.__doc__ or "").strip(), f"{name} has no docstring"


def test_an_unknown_plug_in_is_refused_with_the_nearest() -> None:
    with pytest.raises(PluginError, match="no engine named 'papermil'") as refused:
        plugins.find("engines", "papermil")
    assert refused.value.fix == "did you mean 'papermill'?"


def entry(name: str, value: str) -> dict[str, Any]:
    return {name: EntryPoint(name, value, "nb2prod.engines")}


def test_a_plug_in_that_cannot_be_imported_or_lacks_its_function_fails_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_entries", lambda kind: entry("broken", "no_such_module_here"))
    with pytest.raises(PluginError, match="cannot be imported: No module named 'no_such_module_here'"):
        plugins.find("engines", "broken")
    monkeypatch.setattr(plugins, "_entries", lambda kind: entry("empty", "json"))
    with pytest.raises(PluginError, match="json is no plug-in of engines: it lacks run"):
        plugins.find("engines", "empty")
    monkeypatch.setattr(plugins, "_entries", lambda kind: entry("papermill", "json"))
    with pytest.raises(PluginError, match="two engines are named 'papermill'"):
        plugins.find("engines", "papermill")
