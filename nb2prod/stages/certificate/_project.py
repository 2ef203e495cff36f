"""The other side of the path `exported project`: its pipeline runs as its engineers run it, and its model is asked.

Started as `python -B _project.py` in the project's folder. One line of JSON on stdin says what to do, one on stdout
what came of it. What the project prints is stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.readline())
    answers.write(json.dumps(_asked(request)) + "\n")
    answers.flush()


def _asked(request: dict[str, Any]) -> dict[str, Any]:
    from nb2prod.core.outcome import as_json
    from nb2prod.storage import artifacts, row_answers

    sys.path.insert(0, request["source"])
    settings = importlib.import_module(f"{request['name']}.settings").Settings(**request["given"])
    model = importlib.import_module(f"{request['name']}.pipeline").run(settings).model
    predicted = model.predict(artifacts.read(Path(request["example"]), request["digest"]))
    stored = artifacts.write(predicted, Path(request["answer"]))
    reply: dict[str, Any] = {"path": str(stored.path), "digest": stored.digest}
    if "rows" in request:
        table = artifacts.read(Path(request["rows"]), request["rows_digest"])

        def ask(start: int, stop: int) -> list[Any]:
            return row_answers.asked(model.predict, row_answers.part(table, start, stop), stop - start)

        real, count = request["real"], request["count"]
        found = [*ask(0, real), *row_answers.asked_apart(ask, real, count)]
        reply["outcomes"] = [as_json(one) for one in found]
    return reply


if __name__ == "__main__":
    main()
