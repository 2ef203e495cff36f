"""Files that are not there or may not be touched, with the folder that counts and what is near."""

from __future__ import annotations

import difflib
import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from nb2prod.core.result import Explanation
from nb2prod.language.failures.evidence import Evidence

_ERRNO = re.compile(r"\[Errno (?P<number>\d+)\] [^:']*(?::? ?'(?P<path>[^']*)')?")
# folders that another machine has
_ELSEWHERE = {
    "/kaggle/": "Kaggle",
    "/content/": "Google Colab",
    "/dbfs/": "Databricks",
    "/home/": "another machine",
    "/Users/": "another machine",
    "/mnt/": "another machine",
}
_ERRORS = frozenset(
    str.split(
        "FileNotFoundError PermissionError OSError IsADirectoryError NotADirectoryError FileExistsError "
        "OperationalError IOError"
    )
)


def explained(evidence: Evidence) -> Explanation | None:
    if evidence.error not in _ERRORS:
        return None
    if evidence.said.startswith("unable to open database file"):
        what = f"the database's folder is not there or may not be written; the kernel starts in {evidence.folder}"
        return Explanation("missing-file", what, "make the folder first (os.makedirs), or correct the path")
    match = _ERRNO.match(evidence.said)
    number, path = (int(match["number"]), match["path"] or "") if match else (0, "")
    if number == 2 and path:
        return _missing(evidence, path)
    if evidence.error == "FileNotFoundError" and re.fullmatch(r"[\w./\\ ~-]+", evidence.said):
        return _missing(evidence, evidence.said)  # pyarrow says the path and nothing else
    return _refused(evidence, number, path)


def _refused(evidence: Evidence, number: int, path: str) -> Explanation | None:
    where = path or "it"
    if number in (1, 13):
        what = f"{where} may not be read or written by the user that the kernel runs as"
        return Explanation("permission", what, "change the file's rights (chmod, chown), or choose another folder")
    if number == 30:
        return Explanation("permission", f"{where} is on a volume that cannot be written", "choose another folder")
    if number in (28, 122):
        volume = f"the volume of {Path(path).parent}" if path else "the volume that is written to"
        return Explanation(
            "disk-full", f"{volume} has no room left", "free some (`df -h` shows it), or write elsewhere"
        )
    if number == 17:
        what = f"{where} is there already, from an earlier run"
        return Explanation("file-exists", what, "os.makedirs(path, exist_ok=True), or delete it first")
    if number in (20, 21):
        what = f"{where} is a folder where a file is wanted" if number == 21 else f"a part of {where} is no folder"
        return Explanation("missing-file", what, "correct the path")
    if number == 24:
        what = "too many files are open at once"
        return Explanation("too-many-files", what, "close each one (`with open(…) as file:`), or raise `ulimit -n`")
    return None


def _missing(evidence: Evidence, path: str) -> Explanation:
    what = f"there is no file {path}; the kernel starts in {evidence.folder}"
    maker = _maker(evidence, path)
    if maker:
        return Explanation("missing-file", f"{what}; {maker}", "see whether that cell ran and what it printed")
    service = next((name for start, name in _ELSEWHERE.items() if path.startswith(start)), "")
    if service or re.match(r"[A-Za-z]:[\\/]", path):
        what = f"{path} is a path of {service or 'a Windows machine'}, and there is no such file here"
        return Explanation("missing-file", what, "make the path a parameter, and give the file's place here with -p")
    near = _near(evidence, path)
    if near:
        return Explanation("missing-file", f"{what}; near it is {' and '.join(near)}", "correct the path")
    folder = _first_missing_folder(evidence, path)
    if folder:
        what = f"there is no folder {folder}; the kernel starts in {evidence.folder}"
        return Explanation("missing-file", what, "correct the path, or make the folder first (os.makedirs)")
    return Explanation("missing-file", what, "put the file there, or make the path a parameter and give it with -p")


def _maker(evidence: Evidence, path: str) -> str:
    """The cell that was to make the file: one that downloads or unpacks it, or one that is left out."""
    name = re.escape(PurePosixPath(path).name)
    for index, role in enumerate(evidence.pipeline.roles):
        if role is None or index == evidence.failure.cell:
            continue
        line = re.search(rf"^.*\b{name}\b.*$", role.body, re.MULTILINE)
        if line is not None and role.kind == "skip":
            return f"cell {index}, which is tagged skip, has to do with it"
        if line is not None and re.search(r"^\s*!|urlretrieve|to_csv|to_parquet|savetxt|\.save\(|%%writefile", line[0]):
            return f"cell {index} was to make it (`{line[0].strip()[:80]}`)"
    return ""


def _near(evidence: Evidence, path: str) -> list[str]:
    """Files with almost that name in its folder, or with exactly that name around the notebook."""
    wanted = PurePosixPath(PureWindowsPath(path).as_posix())
    folder = evidence.folder / wanted.parent
    there = [name for name in evidence.machine.names(folder) if not name.endswith("/")]
    lowered = {name.lower(): name for name in there}
    close = difflib.get_close_matches(wanted.name.lower(), lowered, 2, 0.75)
    if close:
        return [str(wanted.parent / lowered[name]) for name in close]
    around = [
        Path(".."),
        *(Path(place) for place in _folders(evidence)),
        *(Path("..") / p for p in _folders(evidence, "..")),
    ]
    return [str(p / wanted.name) for p in around if wanted.name in evidence.machine.names(evidence.folder / p)][:2]


def _folders(evidence: Evidence, inside: str = ".") -> list[str]:
    names = evidence.machine.names(evidence.folder / inside)
    return [name[:-1] for name in names if name.endswith("/") and not name.startswith(".")][:50]


def _first_missing_folder(evidence: Evidence, path: str) -> str:
    """The outermost folder on the way that is not there; empty when all are or it cannot be seen."""
    parts = PurePosixPath(path).parts[:-1]
    for index, part in enumerate(parts):
        above = evidence.folder.joinpath(*parts[:index])
        names = evidence.machine.names(above)
        if part not in ("/", "..", ".") and names and f"{part}/" not in names:
            return str(PurePosixPath(*parts[: index + 1]))
    return ""
