"""The pages for people: files beside this module, which hold no value of the model and load nothing from elsewhere.

What they show, they read from `/openapi.json` in the browser and put in as text. The Content-Security-Policy lets them
run their own script, ask this service, and nothing else; no page may frame them.
"""

from __future__ import annotations

import functools
from pathlib import Path

from .gate import Answer

FILES = {"/docs": "docs.html", "/page/form.js": "form.js", "/page/docs.js": "docs.js", "/page/page.css": "page.css"}
_MEDIA = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = (
    ("content-security-policy", _POLICY),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-cache"),
    ("vary", "accept"),
)


@functools.cache
def answer(file: str) -> Answer:
    path = Path(__file__).parent / "page" / file
    return Answer(path.read_bytes(), media=f"{_MEDIA[path.suffix]}; charset=utf-8", headers=_HEADERS)
