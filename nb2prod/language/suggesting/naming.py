"""Names of steps, from headings and from what cells do.

"## 2. Clean the data"            clean
"### Chargement des données"      chargement, the author's own word
"## Logistic regression"          logistic-regression, when several sections train a model
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from nb2prod.language import tags

HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(?P<text>.+?)\s*#*\s*$", re.MULTILINE)
FENCE = re.compile(r"^ {0,3}(```|~~~).*?^ {0,3}\1", re.MULTILINE | re.DOTALL)
MOST_WORDS = 3

# (what the section is for, English words that say so, words of other languages); the first row that matches counts
MEANINGS: tuple[tuple[str, str, str], ...] = (
    ("look", r"explor\w*|eda|visuali[sz]\w*|plots?|overview|first look", r"aper[cç]u|visualisierung|exploraci[oó]n"),
    ("split", r"split\w*|train.{1,5}test|hold.?out", r"s[eé]paration|d[eé]coupage|aufteil\w*|divisi[oó]n"),
    (
        "evaluate",
        r"importances?|evaluat\w*|results?|performance|metrics?|scor\w*|validat\w*|how good\b.*|assess\w*|diagnos\w*",
        r"[eé]valuation|r[eé]sultats?|auswertung|bewertung|evaluaci[oó]n|resultados",
    ),
    ("features", r"features?|encod\w*|vectori[sz]\w*|engineering", r"caract[eé]ristiques|variables|merkmale"),
    ("clean", r"clean\w*|missing|wrangl\w*|tidy\w*", r"nettoyage|bereinig\w*|limpieza"),
    (
        "prepare",
        r"pre-?process\w*|prepar\w*|transform\w*",
        r"pr[eé]traitement|pr[eé]paration|vorbereit\w*|vorverarbeit\w*",
    ),
    (
        "load",
        r"load\w*|read\w*|import\w* (the )?data\w*|get\w* (the )?data|data (collection|acquisition|import)|download\w*",
        r"chargement|lecture|import des donn[eé]es|laden|einlesen|carga|lectura",
    ),
    ("save", r"sav\w*|export\w*|persist\w*|write\w*", r"sauvegarde|enregistrement|speichern|guardar"),
    (
        "train",
        r"train\w*|fit\w*|model\w*|learn\w*|machine learning|classif\w*|regression|cluster\w*",
        r"entra[iî]nement|apprentissage|mod[eé]lisation|mod[eè]le|modell\w*|training|entrenamiento|modelo",
    ),
)
PREPARING = frozenset({"load", "clean", "prepare", "features", "split"})
FILLER_WORDS = """
a an the of and or to for in on with our my this that is are we it its let us lets do now some data dataset all
using by loop step part section chapter analysis le la les l de des du d et un une en sur aux au donnees jeu
der die das und von den el los las del y daten datos
"""
FILLER = frozenset(FILLER_WORDS.split())


class Heading(NamedTuple):
    """`meaning` is a row of MEANINGS or empty; `name` what a step below the heading would be called, or empty."""

    text: str
    meaning: str
    name: str


NO_HEADING = Heading("", "", "")


def headings(markdown: str) -> list[tuple[int, str]]:
    """(level, text) of each heading of a markdown cell, what is in code fences left out."""
    found = HEADING.finditer(FENCE.sub("", markdown))
    return [(len(match[1]), match["text"].strip()) for match in found]


def heading(text: str) -> Heading:
    """What a heading says about the cells below it."""
    words = _words_of(text)
    for meaning, english, other in MEANINGS:
        if re.search(rf"\b({english})\b", words, re.IGNORECASE):
            return Heading(text, meaning, meaning)
        found = re.search(rf"\b({other})\b", words, re.IGNORECASE)
        if found:
            return Heading(text, meaning, slug(found[0]))
    return Heading(text, "", slug(words))


def own_name(text: str) -> str:
    """The heading's own words as a name, whatever they mean: `Random forest` is `random-forest`."""
    return slug(_words_of(text))


def slug(text: str) -> str:
    """At most three telling words joined by `-`; empty when there are none, or too many to be a name."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = [word for word in re.findall(r"[a-z0-9_]+", plain) if word not in FILLER]
    name = "-".join(words)
    usable = len(words) <= MOST_WORDS and tags.STEP_NAME.match(name) and name not in tags.RESERVED
    return name if usable else ""


def _words_of(text: str) -> str:
    """Without numbering, emphasis, links and symbols."""
    unlinked = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"^\W*(\d+(\.\d+)*[.):]?|[IVX]+[.):])?\s*", "", re.sub(r"[*_`~]|<[^>]+>", "", unlinked)).strip()
