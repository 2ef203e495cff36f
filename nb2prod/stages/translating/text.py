"""Words counted and weighted as CountVectorizer and TfidfTransformer do it, for text in ASCII.

ONNX's tokenizer knows the letters of ASCII only, so a text with any other is outside of what the translation answers:
the service then asks the model itself, or refuses.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nb2prod.stages.translating.blocks import Block, where
from nb2prod.stages.translating.graph import REAL, Untranslatable

_ASCII = r"[\x00-\x7f]*"
NONE = "missing text"
LETTERS = "text with letters beyond ASCII"
_LETTER, _BLANK = "[a-zA-Z0-9_]", r"[^\t\n\x0b\x0c\r\x1c-\x20]"
# what is taken for a word, and the same in ONNX's tokenizer, of ASCII; the first is scikit-learn's own
_WORDS = {
    r"(?u)\b\w\w+\b": _LETTER * 2 + "+",
    r"\b\w\w+\b": _LETTER * 2 + "+",
    r"(?u)\b\w+\b": _LETTER + "+",
    r"\b\w+\b": _LETTER + "+",
    r"\w+": _LETTER + "+",
    r"(?u)\w+": _LETTER + "+",
    r"\w\w+": _LETTER * 2 + "+",
    r"\w{2,}": _LETTER * 2 + "+",
    r"\w{3,}": _LETTER * 3 + "+",
    r"\b\w{3,}\b": _LETTER * 3 + "+",
    r"\S+": _BLANK + "+",
    r"[^\s]+": _BLANK + "+",
    r"[a-z]+": "[a-z]+",
    r"[A-Za-z]+": "[A-Za-z]+",
    r"[a-zA-Z]+": "[a-zA-Z]+",
    r"[a-zA-Z0-9]+": "[a-zA-Z0-9]+",
}


def counted(vectorizer: Any, column: Block) -> Block:
    """[rows, vocabulary]: how often each word, or sequence of words, is there."""
    _refuse_other_words(vectorizer, column)
    graph = column.graph
    graph.require(column.made("RegexFullMatch", dtype="bool", pattern=_ASCII).name, LETTERS)
    graph.require(column.notna().name, NONE)
    flat = graph.add("Reshape", column.name, graph.constant(np.array([-1], dtype="int64")))
    if vectorizer.lowercase:
        flat = graph.add("StringNormalizer", flat, case_change_action="LOWER", locale="C", is_case_sensitive=1)
    words = graph.add(
        "Tokenizer",
        flat,
        domain="com.microsoft",
        mark=0,
        mincharnum=1,
        pad_value=" ",
        tokenexp=_WORDS[vectorizer.token_pattern],
    )
    pool = _Pool(vectorizer.vocabulary_)
    low, high = vectorizer.ngram_range
    counts = graph.add(
        "TfIdfVectorizer",
        words,
        mode="TF",
        min_gram_length=low,
        max_gram_length=high,
        max_skip_count=0,
        ngram_counts=pool.starts[:high],
        ngram_indexes=pool.places,
        pool_strings=pool.words,
    )
    found = Block(graph, counts, "float32", len(vectorizer.vocabulary_)).real
    return where(found > 0.0, 1.0, found) if vectorizer.binary else found


def _refuse_other_words(vectorizer: Any, column: Block) -> None:
    name = type(vectorizer).__name__
    if column.dtype != "text" or column.width != 1:
        raise Untranslatable(f"a {name} of something other than one column of text")
    if callable(vectorizer.analyzer) or vectorizer.analyzer != "word" or vectorizer.token_pattern not in _WORDS:
        raise Untranslatable(f"a {name} with words of its own (analyzer, token_pattern)")
    if vectorizer.tokenizer or vectorizer.preprocessor or callable(vectorizer.strip_accents):
        raise Untranslatable(f"a {name} with a tokenizer or preprocessor of its own")
    if vectorizer.ngram_range[1] > 1 and vectorizer.stop_words:
        raise Untranslatable(f"a {name} with sequences of words and stop words")


class _Pool:
    """The vocabulary as ONNX has it: the words of all sequences, shorter ones first, and the place of each sequence."""

    def __init__(self, vocabulary: dict[str, int]) -> None:
        self.words: list[str] = []
        self.places: list[int] = []
        self.starts: list[int] = []
        by_length: dict[int, list[tuple[str, int]]] = {}
        for term, place in sorted(vocabulary.items(), key=lambda item: item[1]):
            by_length.setdefault(len(term.split(" ")), []).append((term, int(place)))
        for length in range(1, max(by_length) + 1):
            self.starts.append(len(self.words))
            for term, place in by_length.get(length, []):
                self.words += term.split(" ")
                self.places.append(place)


def weighted(transformer: Any, counts: Block) -> Block:
    found = counts.real
    if transformer.sublinear_tf:
        found = where(found > 0.0, where(found > 0.0, found, 1.0).made("Log") + 1.0, 0.0)
    if transformer.use_idf:
        weights = found.graph.reals(np.reshape(transformer.idf_, (1, -1)))
        found = found * Block(found.graph, weights, REAL, found.width)
    if transformer.norm is None:
        return found
    op = {"l1": "ReduceL1", "l2": "ReduceL2"}[transformer.norm]
    axis = found.graph.constant(np.array([1], dtype="int64"))
    size = found.made(op, axis, width=1, keepdims=1)
    return found / where(size == 0.0, 1.0, size)
