"""What a package does not say of itself: when it was made, and in which run.

Two builds of one notebook, with one lock, are the same bytes, so neither the moment nor the run can be in them. They
are said beside them: in the run's folder, as a line of `packages.jsonl` for each package of that run; in MLflow, as
tags of a registered version; and by a signature, whose statement may have a moment. All of them name the digest.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from nb2prod.core.model_package import ModelPackage

FILE = "packages.jsonl"


def note(run: Path, package: ModelPackage) -> None:
    """Add the package to those of its run's folder."""
    line = {
        "digest": package.digest,
        "name": package.name,
        "version": package.version,
        "directory": str(Path(package.directory).absolute()),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with (run / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
