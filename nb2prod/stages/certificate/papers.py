"""The certificate on paper: `parity.json` for programs, `parity.html` for people, both in the package."""

from __future__ import annotations

import json
from pathlib import Path

from nb2prod.core.parity import Parity
from nb2prod.drawing import certificate_page
from nb2prod.stages.certificate import probe
from nb2prod.storage import codec
from nb2prod.storage.files import write_text

SCHEMA = "nb2prod/parity/1"
PARITY = "parity.json"
PAGE = "parity.html"


def write(folder: Path, parity: Parity, name: str) -> None:
    content = {"schema": SCHEMA, **codec.plain(parity)}
    write_text(folder / PARITY, json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n")
    write_text(folder / PAGE, certificate_page.as_html(parity, name, names_of(folder)))


def names_of(folder: Path) -> tuple[str, ...]:
    """What the rows of a package's probe set are called."""
    found = probe.read(folder)
    return tuple(found.rows.what) if found is not None else ()
