"""What a kept piece met while it ran, and whether all of it is as it was: streams, variables, libraries, files.

Code and inputs are compared before (`_facts`, by the entry's key). These are known only when a piece has run, so the
entry names them, and each is looked at again before the entry is taken.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nb2prod.engines import _outside
from nb2prod.engines._looked import Looked
from nb2prod.kernel.ambient import WHAT
from nb2prod.kernel.step_work import Work
from nb2prod.kernel.watching import EVERY, digest_of_text, names_of_variables
from nb2prod.storage.step_entries import Entry


@dataclass(frozen=True, slots=True)
class Conditions:
    """The surroundings of a run: its environment, and the folder that paths are said from."""

    environment: Mapping[str, str]
    folder: Path

    def changed(self, entry: Entry, looked: Looked, work: Work) -> str:
        """What the entry depends on and is not as it was, in words."""
        late = sorted((work.live - work.imported) & set(entry.left_out))
        if late:
            return f"{late[0]} is read later now, and was not kept"
        for name, identity in entry.streams.items():
            if looked.streams.get(name, "") != identity:
                return f"{WHAT[name]} stands elsewhere"
        for name, text in entry.variables.items():
            if self.variable(name) != text:
                return "the environment changed" if name == EVERY else f"variable {name} changed"
        for name, known in entry.libraries.items():
            if changed := _outside.changed_library(name, known):
                return changed
        return self._changed_file(entry)

    def _changed_file(self, entry: Entry) -> str:
        moved = _outside.first_changed({**entry.modules, **entry.files})
        if moved is not None:
            return f"{moved[0]} {self.near(moved[1])} changed"
        other = next((path for path, names in entry.folders.items() if _outside.listing(path) != names), "")
        return f"folder {self.near(other)} has other files" if other else ""

    def near(self, path: str) -> str:
        """A path as a person says it: from the notebook's folder, when it is in there."""
        near = os.path.relpath(path, self.folder)
        return path if near.startswith("..") else near

    def variable(self, name: str) -> str:
        """What a variable is, by its digest; of all of them, their names."""
        if name == EVERY:
            return names_of_variables(self.environment)
        return digest_of_text(self.environment[name]) if name in self.environment else ""
