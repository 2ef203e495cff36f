"""Messages that a library always says in the same words, each with what it means and what to do.

A row counts where the class and the message match, and a frame of the library is in the traceback if the row wants one.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from nb2prod.core.result import Explanation
from nb2prod.language.failures.endings import SMALLER
from nb2prod.language.failures.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Row:
    """`error` and `said` are patterns; `{name}` in `what` and `fix` is the group of that name.

    A frame of `library` must be in the traceback (the innermost for a KeyError), and `frame` match the traceback.
    """

    kind: str
    error: str
    said: str
    what: str
    fix: str
    library: str = ""
    frame: str = ""


_TEXT = re.compile(r"""['"]([^'"\n]{1,60})['"]""")
_LABEL = r"(?P<column>'[^'\n]*')"
_SEE = "print(list(df.columns)) above shows the columns that are there"

MESSAGES: tuple[Row, ...] = (
    # memory, recursion
    Row(
        "memory",
        r"_?(?:Array)?MemoryError",
        r"Unable to allocate (?P<size>[\d.]+ \w+) for an array with shape (?P<shape>\([^)]*\))",
        "an array of shape {shape} needs {size}, more than there is",
        SMALLER,
    ),
    Row("memory", r"_?(?:Array)?MemoryError", r"", "the value that the cell makes does not fit into memory", SMALLER),
    Row(
        "recursion",
        r"RecursionError",
        r"maximum recursion depth exceeded",
        "a function calls itself without end, or more deeply than Python allows",
        "see that it stops (its base case), or write it as a loop",
    ),
    # a graphics card
    Row(
        "no-gpu",
        r"AssertionError|RuntimeError",
        r"Torch not compiled with CUDA enabled|Found no NVIDIA driver|No CUDA GPUs are available",
        "the cell asks for a graphics card (CUDA), and there is none here",
        "device = 'cuda' if torch.cuda.is_available() else 'cpu', and .to(device) in the place of .cuda()",
    ),
    Row(
        "no-gpu",
        r"RuntimeError",
        r"Attempting to deserialize object on a CUDA device",
        "the file was saved on a machine with a graphics card (CUDA), and there is none here",
        "torch.load(file, map_location='cpu')",
    ),
    Row(
        "memory",
        r"RuntimeError|OutOfMemoryError",
        r"CUDA out of memory",
        "the graphics card's memory is full",
        "use smaller batches, or free what is kept (del, torch.cuda.empty_cache())",
    ),
    # columns and labels of pandas
    Row(
        "missing-column",
        r"KeyError",
        r"[\"']?\[(?P<column>.*)\] not (?:in index|found in axis)",
        "the frame has no column or row {column}",
        _SEE,
        "pandas",
    ),
    Row(
        "missing-column",
        r"KeyError",
        r"[\"']?None of (?:Index\()?\[(?P<column>.*?)\]",
        "the frame has none of the columns {column}",
        _SEE,
        "pandas",
    ),
    Row(
        "missing-column",
        r"KeyError",
        r"[\"']?The following '\w+' labels are not columns of the DataFrame: \[(?P<column>.*)\]",
        "the frame has no column {column}",
        _SEE,
        "pandas",
    ),
    Row(
        "changed-behaviour",
        r"KeyError",
        r"(?P<number>-?\d+)$",
        "{number} is looked up as a label of the Series; since pandas 3 a whole number is never a position",
        "use .iloc[{number}] for the position",
        "pandas",
        r"/pandas/core/series\.py:\d+, in Series\.__getitem__",
    ),
    Row("missing-column", r"KeyError", _LABEL + "$", "the frame has no column or label {column}", _SEE, "pandas"),
    Row(
        "missing-column",
        r"ValueError",
        r"Some column names are not columns of the dataframe: \{(?P<column>.*)\}",
        "the frame has no column {column}",
        _SEE,
        "sklearn",
    ),
    # what pandas 3 does otherwise
    Row(
        "changed-behaviour",
        r"ValueError",
        r"assignment destination is read-only",
        "the array is a read-only view; since pandas 3 .values and .to_numpy() of a frame give such",
        "take a copy first: values = df['x'].to_numpy(copy=True)",
    ),
    Row(
        "changed-behaviour",
        r"TypeError",
        r"Invalid value (?P<value>.{1,40}) for dtype '(?P<dtype>\w+)'",
        "since pandas 3 a column of {dtype} takes no value of another type ({value})",
        "give the column its type first: df['x'] = df['x'].astype(object), or float",
        "pandas",
    ),
    Row(
        "changed-behaviour",
        r"TypeError",
        r"Cannot perform reduction '(?P<name>\w+)' with string dtype",
        "since pandas 2 columns of text are no longer left out of .{name}()",
        "df.{name}(numeric_only=True)",
        "pandas",
    ),
    Row(
        "changed-behaviour",
        r"TypeError",
        r"dtype '\w+' does not support operation '(?P<name>\w+)'|agg function failed \[how->(?P<how>\w+),dtype->",
        "since pandas 2 columns of text are no longer left out of a group's mean, sum and the like",
        "give numeric_only=True, or choose the columns: df.groupby('x')[['y']]",
        "pandas",
    ),
    Row(
        "changed-behaviour",
        r"ValueError",
        r"could not convert string to float",
        "since pandas 2 columns of text are no longer left out of .corr()",
        "df.corr(numeric_only=True)",
        "pandas",
        r", in DataFrame\.(?:corr|cov)",
    ),
    Row(
        "bad-data",
        r"ValueError",
        r"could not convert string to float: (?P<value>.{1,60})",
        "a text that is no number ({value}) stands where numbers are wanted",
        "pd.to_numeric(column, errors='coerce') shows where, or encode the column (OneHotEncoder)",
    ),
    Row(
        "bad-data",
        r"AttributeError",
        r"Can only use \.(?P<name>str|dt|cat) accessor with (?P<wanted>[\w ]+) values",
        "the column is not of the type that .{name} wants ({wanted})",
        "convert it first: .astype(str), pd.to_datetime(…) or .astype('category')",
        "pandas",
    ),
    Row(
        "truth-value",
        r"ValueError",
        r"The truth value of an? (?P<kind>Series|DataFrame|array|Index)",
        "`if`, `and`, `or` want one truth value, and there is one for each element",
        "use & and | between comparisons, or .any(), .all(), .empty",
    ),
    # numpy
    Row(
        "changed-behaviour",
        r"OverflowError",
        r"Python integer (?P<value>-?\d+) out of bounds for (?P<dtype>\w+)",
        "since numpy 2 a whole number must fit the array's type: {value} is no {dtype}",
        "use a wider type first: .astype('int64')",
    ),
    Row(
        "changed-behaviour",
        r"ValueError",
        r"Unable to avoid copy while creating an array",
        "since numpy 2 copy=False means never, and this array cannot be made without one",
        "np.asarray(x) in the place of np.array(x, copy=False)",
    ),
    Row(
        "changed-behaviour",
        r"ValueError",
        r"setting an array element with a sequence\. The requested array has an inhomogeneous shape",
        "the rows are not of one length; since numpy 1.24 no array of objects is made of them by itself",
        "np.array(rows, dtype=object), or give the rows one length",
    ),
    Row(
        "changed-behaviour",
        r"ValueError",
        r"Object arrays cannot be loaded when allow_pickle=False",
        "the file holds Python objects, which numpy does not load by itself: loading them can run code",
        "np.load(file, allow_pickle=True) for a file that you trust",
    ),
    Row(
        "shape",
        r"ValueError",
        r"operands could not be broadcast together with (?:remapped )?shapes (?P<shapes>[(\d][^\n]*)",
        "arrays of the shapes {shapes} do not fit together",
        "print both shapes above the line; reshape, or choose the rows that belong together",
    ),
    Row(
        "shape",
        r"ValueError",
        r"cannot reshape array of size (?P<size>\d+) into shape (?P<shape>\([^)]*\))",
        "{size} values do not fill the shape {shape}",
        "use -1 for the side that follows from the others",
    ),
    Row(
        "shape",
        r"ValueError",
        r"matmul: Input operand 1 has a mismatch|shapes \(.*\) and \(.*\) not aligned",
        "the inner sides of the two matrices differ",
        "print both shapes above the line; one of them may need .T",
    ),
    Row(
        "shape",
        r"ValueError",
        r"x and y must have same first dimension, but have shapes (?P<x>\S+) and (?P<y>\S+)",
        "x has the shape {x} and y {y}",
        "give as many values for x as for y",
        "matplotlib",
    ),
    # scikit-learn
    Row(
        "shape",
        r"ValueError",
        r"X has (?P<given>\d+) features, but (?P<model>\w+) is expecting (?P<wanted>\d+) features",
        "{model} was fitted on {wanted} columns and is given {given}",
        "give it the columns that it was fitted on; encode with one fitted transformer, not once for each part",
        "sklearn",
    ),
    Row(
        "shape",
        r"ValueError",
        r"Expected 2D array, got (?:1D|scalar) array instead",
        "the model wants a table (rows and columns) and is given one row or column",
        "df[['x']] in the place of df['x'], or values.reshape(-1, 1)",
        "sklearn",
    ),
    Row(
        "shape",
        r"ValueError",
        r"Found input variables with inconsistent numbers of samples: (?P<rows>\[[\d, ]+\])",
        "what belongs together has different numbers of rows: {rows}",
        "see where rows were dropped from one and not from the other",
        "sklearn",
    ),
    Row(
        "shape",
        r"ValueError",
        r"The feature names should match those that were passed during fit",
        "the model is given other columns than it was fitted on, or in another order",
        "data[model.feature_names_in_]",
        "sklearn",
    ),
    Row(
        "not-fitted",
        r"NotFittedError",
        r"This (?P<model>\w+) instance is not fitted yet",
        "{model} is used before it was fitted",
        "call .fit(…) in an earlier cell; `clone` and `Pipeline` make copies that are not fitted",
    ),
    Row(
        "bad-data",
        r"ValueError",
        r"Input (?P<name>\w+) contains (?P<bad>NaN|infinity)",
        "{name} contains {bad}, which the model does not take",
        "data.isna().sum() shows where; drop the rows, or put a SimpleImputer into the pipeline",
        "sklearn",
    ),
    Row(
        "bad-data",
        r"ValueError",
        r"dtype='numeric' is not compatible with arrays of bytes/strings",
        "text stands where the model wants numbers",
        "encode it (OneHotEncoder), or convert it (pd.to_numeric)",
        "sklearn",
    ),
    Row(
        "bad-data",
        r"ValueError",
        r"Unknown label type: '?continuous",
        "a classifier is given numbers with fractions as classes",
        "use a regressor, or make classes of the numbers (pd.cut)",
        "sklearn",
    ),
    Row(
        "bad-data",
        r"ValueError",
        r"This solver needs samples of at least 2 classes",
        "all rows are of one class",
        "see how the rows were chosen; train_test_split(…, stratify=y) keeps all classes in both parts",
        "sklearn",
    ),
    Row(
        "bad-data",
        r"ValueError",
        r"The least populated classe?s? in y ha(?:s|ve) only 1 member",
        "a class has one row only, which cannot be in both parts",
        "leave such classes out, or leave stratify out",
        "sklearn",
    ),
    # files that are not what they should be
    Row(
        "bad-data",
        r"JSONDecodeError",
        r"Extra data",
        "there is more than one JSON value: the file may have one a line",
        "pd.read_json(file, lines=True), or json.loads for each line",
    ),
    Row(
        "bad-data",
        r"JSONDecodeError",
        r"Expecting value: line 1 column 1 \(char 0\)",
        "what is read is empty, or no JSON (an error page, say)",
        "print the first 200 characters of it; for an answer over HTTP see its status code",
    ),
    Row(
        "bad-data",
        r"JSONDecodeError",
        r"(?P<why>[^\n]{1,100})",
        "what is read is no JSON: {why}",
        "mend the file at that place",
    ),
    Row(
        "bad-data",
        r"ParserError",
        r"Error tokenizing data\. C error: Expected (?P<wanted>\d+) fields in line (?P<line>\d+), saw (?P<saw>\d+)",
        "line {line} of the file has {saw} fields where the lines above have {wanted}",
        "see that line; give sep=… if it is not a comma, skiprows=… for a title, on_bad_lines='skip' to leave it out",
    ),
    Row(
        "bad-data", r"EmptyDataError", r"No columns to parse from file", "the file is empty", "see what was to write it"
    ),
    Row(
        "bad-data",
        r"UnicodeDecodeError",
        r"'utf-?8' codec can't decode byte (?P<byte>0x\w+) in position (?P<place>\d+)",
        "the file is no UTF-8 text (byte {byte} at {place}): of another encoding, or no text at all",
        "encoding='latin-1' or 'cp1252' for an old table, pd.read_excel for a workbook, open(file, 'rb') for others",
    ),
    Row(
        "bad-data",
        r"ValueError",
        r"Excel file format cannot be determined",
        "the file is no Excel workbook, whatever its name says",
        "look at its beginning: a web page or a CSV file often has the name",
        "pandas",
    ),
    Row(
        "bad-data",
        r"EOFError",
        r"Ran out of input",
        "the file is empty or was not written to its end",
        "make it again, and close it (`with open(…) as file:`) before it is read",
    ),
    Row(
        "missing-data",
        r"LookupError",
        r"\*+\s*Resource '?(?:\x1b\[\d+m)?(?P<name>[\w]+)(?:\x1b\[0m)?'? not found",
        "NLTK's data {name} is not on this machine",
        "nltk.download('{name}') once where there is a network, and set NLTK_DATA to its folder",
    ),
    Row(
        "missing-data",
        r"OSError",
        r"\[E050\] Can't find model '(?P<name>[\w]+)'",
        "spaCy's model {name} is not on this machine",
        "python -m spacy download {name}",
    ),
    # Python 2
    Row(
        "python-2",
        r"SyntaxError",
        r"Missing parentheses in call to '(?P<name>print|exec)'",
        "the code was written for Python 2, where `{name}` was a statement",
        "{name}(…); `2to3` or `futurize` rewrite a whole file",
    ),
    Row(
        "python-2",
        r"SyntaxError",
        r"multiple exception types must be parenthesized",
        "the code was written for Python 2: `except ValueError, e`",
        "except ValueError as e",
    ),
    Row(
        "python-2",
        r"SyntaxError",
        r"leading zeros in decimal integer literals are not permitted",
        "Python 3 has no numbers with a leading zero (in Python 2 they were octal)",
        "0o777 for an octal number, else leave the zeros out",
    ),
    Row(
        "python-2",
        r"TypeError",
        r"'(?P<name>dict_keys|dict_values|dict_items|map|filter|zip)' object is not subscriptable",
        "what `{name}` gives has no index (in Python 2 it was a list)",
        "list(…) around it",
    ),
    # the place where it runs
    Row(
        "asyncio",
        r"RuntimeError",
        r"asyncio\.run\(\) cannot be called from a running event loop|This event loop is already running",
        "a notebook's cells run inside an event loop already",
        "`await main()` in the place of `asyncio.run(main())`",
    ),
    Row(
        "no-display",
        r"ImportError",
        r"Cannot load backend '(?P<name>\w+)' which requires the '\w+' interactive framework",
        "a headless run has no screen for the plots of {name}",
        "take matplotlib.use('{name}') off: plots go into the notebook",
    ),
    Row(
        "no-display",
        r"TclError",
        r"no display name and no \$DISPLAY",
        "a headless run has no screen for windows",
        "take the window off, or tag its cell skip",
    ),
    Row(
        "pickle",
        r"AttributeError",
        r"Can't get attribute '(?P<name>\w+)' on <module '__main__'",
        "the pickle holds a thing of the notebook that saved it (`{name}`), which must be defined before it is loaded",
        "define `{name}` in a cell above, the same as there",
    ),
    Row(
        "pickle",
        r"TypeError",
        r"cannot pickle '(?P<name>[\w.]+)' object",
        "a {name} object cannot be saved or sent to another process",
        "make it again where it is needed, and keep it out of what is saved",
    ),
    Row(
        "missing-table",
        r"OperationalError",
        r"no such table: (?P<name>\w+)",
        "the database has no table {name}; a file that was not there is made empty by sqlite3.connect",
        "see that the path is the one of the database that you mean",
    ),
    Row(
        "environment",
        r"KeyError",
        r"'(?P<name>[A-Z][A-Z0-9_]+)'$",
        "the environment variable {name} is not set where the kernel runs",
        "set it before the run, or make it a parameter",
        "",
        r"<frozen os>|[/\\]os\.py|\bin _Environ\.__getitem__",
    ),
)


def explained(evidence: Evidence) -> Explanation | None:
    for row in MESSAGES:
        if not evidence.error or not re.fullmatch(row.error, evidence.error):
            continue
        match = re.match(row.said, evidence.said, re.DOTALL)
        if match is not None and _seen(evidence, row):
            words = {name: value or "" for name, value in match.groupdict().items()}
            near = _written(evidence, words["column"]) if "column" in words else ""
            return Explanation(row.kind, _filled(row.what, words) + near, _filled(row.fix, words))
    return None


def _seen(evidence: Evidence, row: Row) -> bool:
    # a dictionary's KeyError may follow one of pandas' that the notebook caught
    library = evidence.innermost(row.library) if row.error == "KeyError" else evidence.through(row.library)
    return (library or not row.library) and (not row.frame or re.search(row.frame, evidence.trace) is not None)


def _written(evidence: Evidence, column: str) -> str:
    """Texts of the notebook that are almost the column's name."""
    name = column.strip("'\"")
    texts = {text for cell in evidence.pipeline.notebook.cells for text in _TEXT.findall(cell.source)} - {name}
    lowered = {text.lower(): text for text in sorted(texts)}
    near = difflib.get_close_matches(name.lower(), lowered, 2, 0.8)
    return f"; elsewhere the notebook says {' and '.join(repr(lowered[text]) for text in near)}" if near else ""


def _filled(text: str, words: dict[str, str]) -> str:
    for name, value in words.items():
        text = text.replace("{" + name + "}", value)
    return text
