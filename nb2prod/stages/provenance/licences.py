"""Under which terms the libraries stand that a package needs: `licences.json`, from what they say of themselves.

A licence is an SPDX expression. A library says it as one (`License-Expression`), in words that name one beyond doubt
(a classifier, or a title in the old field `License`), or it brings the text of one licence and no other. Anything else
is `unknown` here, with what the library does say beside it: the reader decides, not we.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from nb2prod.stages.provenance.closure import Installed

SCHEMA = "nb2prod/licences/1"
FILE = "licences.json"
UNKNOWN = "unknown"
# trove classifiers that name one licence; "BSD License" is none of them: there are several
CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD 3-Clause License": "BSD-3-Clause",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Zero-Clause BSD (0BSD)": "0BSD",
}
# what is written into the field `License` for one licence and no other
WORDS = {
    "apache 2.0": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "apache-2.0 license": "Apache-2.0",
    "3-clause bsd license": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "mit license": "MIT",
    "the mit license": "MIT",
    "mpl 2.0": "MPL-2.0",
}
# what only the text of this licence says; BSD with three clauses has all of the one with two
TEXTS = {
    "MIT": "permission is hereby granted, free of charge, to any person obtaining a copy of this software",
    "Apache-2.0": "apache license version 2.0, january 2004",
    "BSD-2-Clause": "redistribution and use in source and binary forms",
    "BSD-3-Clause": "endorse or promote products derived from this software without specific prior written permission",
    "MPL-2.0": "mozilla public license version 2.0",
    "GPL": "gnu general public license",
    "LGPL": "gnu lesser general public license",
    "PSF-2.0": "python software foundation license version 2",
    "ISC": "permission to use, copy, modify, and/or distribute this software for any purpose with or without fee",
}
CERTAIN = frozenset({"MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC"})


@dataclass(frozen=True, slots=True)
class Licence:
    """`spdx` is an SPDX expression or `unknown`; `stated` is what the library says, in its words, when that is all."""

    name: str
    version: str
    spdx: str
    stated: str = ""


def licences(libraries: Iterable[Installed]) -> tuple[Licence, ...]:
    return tuple(map(_licence, libraries))


def document(found: Iterable[Licence]) -> dict[str, Any]:
    """The content of `licences.json`: each library, and how many there are of each licence."""
    listed = [_row(one) for one in found]
    names = [row["licence"] for row in listed]
    return {
        "schema": SCHEMA,
        "licences": {name: names.count(name) for name in sorted(set(names))},
        "libraries": listed,
    }


def write(folder: Path, found: Iterable[Licence]) -> None:
    import json

    from nb2prod.storage.files import write_text

    write_text(folder / FILE, json.dumps(document(found), ensure_ascii=False, indent=2) + "\n")


def _row(one: Licence) -> dict[str, str]:
    row = {"name": one.name, "version": one.version, "licence": one.spdx}
    return {**row, "stated": one.stated} if one.stated else row


def _licence(library: Installed) -> Licence:
    name, version, said = library.name, library.version, library.metadata
    expression = _spdx(_first(said, "License-Expression"))
    if expression:
        return Licence(name, version, expression)
    written = _first(said, "License").strip()
    classifiers = sorted(_classified(said.get_all("Classifier") or ()))
    named = {CLASSIFIERS[text] for text in classifiers if text in CLASSIFIERS}
    if len(named) == 1 and all(text in CLASSIFIERS for text in classifiers):
        return Licence(name, version, named.pop())
    found = WORDS.get(_short(written).lower()) or _spdx(written) or _of_text(library, written)
    if found:
        return Licence(name, version, found)
    return Licence(name, version, UNKNOWN, _short(written) or "; ".join(classifiers))


def _first(said: importlib.metadata.PackageMetadata, key: str) -> str:
    return next(iter(said.get_all(key) or ()), "")


def _classified(classifiers: Iterable[str]) -> set[str]:
    """The licences among classifiers: `License :: OSI Approved :: MIT License` says `MIT License`."""
    found = {text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License :: ")}
    return found - {"OSI Approved", "License"}


def _of_text(library: Installed, written: str) -> str:
    """The licence whose text the library brings, when it is the text of one; empty for several, and for what may be."""
    names = library.metadata.get_all("License-File") or ()
    texts = [library.distribution.read_text(f"{folder}{name}") for name in names for folder in ("licenses/", "")]
    found = {licence for text in (*texts, written) if text for licence in _texts_in(text)}
    return found.pop() if len(found) == 1 and found <= CERTAIN else ""


def _texts_in(text: str) -> set[str]:
    plain = " ".join(text.lower().split())
    found = {licence for licence, said in TEXTS.items() if said in plain}
    one_bsd = plain.count(TEXTS["BSD-2-Clause"]) == plain.count(TEXTS["BSD-3-Clause"])
    return found - {"BSD-2-Clause"} if "BSD-3-Clause" in found and one_bsd else found


def _spdx(text: str) -> str:
    """The expression in its canonical spelling; empty when it is none."""
    if not text or "\n" in text:
        return ""
    try:
        return str(canonicalize_license_expression(text))
    except InvalidLicenseExpression:
        return ""


def _short(text: str) -> str:
    """Of a whole licence text, which some libraries put there, the first line."""
    return " ".join(text.partition("\n")[0].split())[:120]
