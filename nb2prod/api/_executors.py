"""An executor by its name, with what it is told: options of the command line become its own named parameters."""

from __future__ import annotations

import inspect
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from nb2prod import plugins
from nb2prod.core.errors import UsageError

FOR = {"scheduler": "dask"}  # which of our executors takes it


@dataclass(frozen=True, slots=True)
class Told:
    """An executor's plug-in that opens as it was told to: `scheduler`, say. What is empty is not told."""

    plugin: Any
    told: dict[str, Any]

    def open(self) -> Executor:
        opened: Executor = self.plugin.open(**self.told)
        return opened

    def workers(self, count: int) -> Executor:
        """Processes for work that can be pickled, as `map` needs them."""
        opened: Executor = self.plugin.workers(count, **self.told)
        return opened


def executor_named(name: str, **options: Any) -> Told:
    """Raises UsageError for an option that the executor does not know, PluginError when there is no such executor."""
    plugin = plugins.find("executors", name)
    told = {option: value for option, value in options.items() if value}
    for option in told.keys() - inspect.signature(plugin.open).parameters.keys():
        fix = f"--executor {FOR[option]}" if option in FOR else f"leave out --{option}"
        raise UsageError(f"the executor {name} has no --{option}", fix=fix)
    return Told(plugin, told)
