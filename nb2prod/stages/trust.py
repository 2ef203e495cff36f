"""What a package would do, found without loading any of it, and whether a consumer's policy allows that.

`look` reads a package's files as data: nothing of it is imported, unpickled or run. `refuse` holds what was found
against what a package of nb2prod can be at all, and then against a `Policy` (`policy.toml` of whoever uses the package;
no package has a say in it). What is to be loaded goes through `admission`, which does both on a copy.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nb2prod.core import policy as policies
from nb2prod.core.errors import NotProved, StoreError
from nb2prod.core.package_contents import CodeSeen, FileSeen, NameSeen, PackageContents, Permission
from nb2prod.core.pipeline import HoistedModule
from nb2prod.core.policy import DEFAULT, Breach, Policy
from nb2prod.stages.trusting import code_seen, environment_files, folder_seen, mlmodel, parts_seen
from nb2prod.storage import checksums, model_formats, pickle_names, skops_schema, trusted_names

MANIFEST = "package.json"
SCHEMA = "nb2prod/package/1"
# what a model file may call while it is loaded: these do no more than hold what they are given
CALLABLE = (bool, bytearray, bytes, complex, dict, float, frozenset, int, list, range, set, slice, str, tuple)
# what loading a model imports: a module of this name in a package would be imported instead of it
_LIBRARIES = (
    *("cloudpickle", "joblib", "lightgbm", "mlflow", "numpy", "onnxruntime", "packaging", "pandas", "pyarrow", "scipy"),
    *("skl2onnx", "sklearn", "skops", "statsmodels", "xgboost", "yaml"),
)
_LISTED = 12


# -- looking --------------------------------------------------------------------------------------------------------


def look(folder: Path, *, pickles: bool = True) -> PackageContents:
    """What is in a package's folder; nothing of it is loaded. Raises StoreError when there is no folder.

    What is wrong with it is among the `problems`. Without `pickles` their names are not read, which takes long of
    many models.
    """
    try:
        files, wrong = folder_seen.seen(folder)
    except (folder_seen.NoFolder, OSError) as error:
        raise StoreError("there is no such folder", where=str(folder), fix="give the folder of a package") from error
    names = frozenset(file.path for file in files)
    manifest = _manifest(folder) if MANIFEST in names else {}
    is_package = bool({MANIFEST, checksums.FILE} & names)
    described = mlmodel.read(folder)
    module = str(manifest.get("module") or "")
    defined = code_seen.defined(folder / "code" / f"{module}.py") if module.isidentifier() else frozenset()
    seen = [code_seen.seen(folder / file.path, file.path) for file in files if file.kind == "python"]
    digest, broken = _digest(folder) if is_package else ("", ())
    held, unread = _names(folder, files, pickles=pickles)
    wrong = (*broken, *wrong, *unread)
    if is_package:
        wrong += tuple(_forged(folder, names, manifest, described, module, defined))
    libraries = environment_files.libraries(folder)
    return PackageContents(
        place=str(folder),
        name=str(manifest.get("name") or folder.name),
        version=str(manifest.get("version") or ""),
        digest=digest,
        whole=bool(digest),
        is_package=is_package,
        is_signed=checksums.SIGNATURE in names,
        size=sum(file.size for file in files),
        loader=described.loader,
        formats=_formats(folder, names, described),
        module=module,
        trusted=tuple(sorted({*described.trusted, *parts_seen.trusted(folder, names)})),
        files=files,
        names=tuple(_with_origin(name, module, defined, libraries) for name in held),
        code=tuple(code for code, _ in seen),
        permissions=(
            *_pickles(files),
            *_run(code for code, _ in seen),
            *(one for _, found in seen for one in found),
            *_native(files),
        ),
        licences=_licences(folder) if "licences.json" in names else (),
        problems=tuple(dict.fromkeys(_printable(problem) for problem in wrong)),
    )


def _manifest(folder: Path) -> Mapping[str, Any]:
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _digest(folder: Path) -> tuple[str, tuple[str, ...]]:
    try:
        return checksums.verify(folder), ()
    except NotProved as error:
        return "", (error.what.partition("; nothing of it")[0],)


def _names(folder: Path, files: tuple[FileSeen, ...], *, pickles: bool) -> tuple[tuple[NameSeen, ...], tuple[str, ...]]:
    """The names in model files, and which files cannot be read."""
    found: list[NameSeen] = []
    unread: list[str] = []
    for file in files:
        try:
            found += _names_in(folder / file.path, file, pickles)
        except (pickle_names.NotAPickle, skops_schema.NotSkops, OSError, StoreError) as error:
            unread.append(f"{file.path} cannot be read as {file.kind}: {error}")
    return tuple(found), tuple(unread)


def _names_in(path: Path, file: FileSeen, pickles: bool) -> Iterator[NameSeen]:
    if file.kind == "skops":
        yield from (NameSeen(name, file.path, use) for name, use in skops_schema.read(path).names)
    elif file.kind == "pickle" and pickles:
        yield from (NameSeen(name, file.path, "called") for name in pickle_names.names_in(path).names)
    elif file.kind == "shard" and pickles:
        held = {name for raw in parts_seen.slices(path) for name in pickle_names.names_of(raw)}
        yield from (NameSeen(name, file.path, "called") for name in sorted(held))


def _formats(folder: Path, names: frozenset[str], described: mlmodel.Described) -> tuple[str, ...]:
    onnx = ("onnx",) if "onnx/model.onnx" in names else ()
    own = described.formats if described.loader != mlmodel.CODE_MODEL else parts_seen.formats(folder, names)
    return (*own, *onnx)


def _with_origin(seen: NameSeen, module: str, defined: frozenset[str], libraries: Mapping[str, str]) -> NameSeen:
    home, _, last = seen.name.rpartition(".")
    top = home.partition(".")[0]
    if module and home == module:
        origin = f"code/{module}.py" if last in defined else f"code/{module}.py, which has no {last}"
    elif top == "builtins":
        origin = "Python"
    else:
        library = {"sklearn": "scikit-learn"}.get(top, top.replace("_", "-"))
        origin = f"{library} {libraries[library]}" if library in libraries else top
    return NameSeen(_printable(seen.name), seen.file, seen.use, _printable(origin))


def _pickles(files: tuple[FileSeen, ...]) -> Iterator[Permission]:
    for file in files:
        if file.kind in ("pickle", "shard"):
            yield Permission("pickle", "is unpickled", file.path)


def _run(code: Iterable[CodeSeen]) -> Iterator[Permission]:
    for seen in code:
        if not seen.own:
            yield Permission("code", "is run", seen.path)


def _native(files: tuple[FileSeen, ...]) -> Iterator[Permission]:
    for file in files:
        if file.path.endswith((".so", ".pyd", ".dll", ".dylib", ".pyc", ".pth", ".egg", ".whl", ".zip")):
            yield Permission("native", "is code that is no text", file.path)


def _licences(folder: Path) -> tuple[str, ...]:
    from nb2prod.stages.provenance import licences

    try:
        listed = json.loads((folder / licences.FILE).read_text(encoding="utf-8"))["libraries"]
        return tuple(sorted({str(row["licence"]) for row in listed}))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return (licences.UNKNOWN,)


def _printable(text: str) -> str:
    """Names come from the package: none of their letters may move the cursor of a terminal."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)[:500]


# -- what no package is ---------------------------------------------------------------------------------------------


def _forged(
    folder: Path,
    names: frozenset[str],
    manifest: Mapping[str, Any],
    described: mlmodel.Described,
    module: str,
    defined: frozenset[str],
) -> Iterator[str]:
    """What makes the folder no package that nb2prod made, although its checksums may hold."""
    if manifest.get("schema") != SCHEMA:
        yield f"{MANIFEST} is not of the schema {SCHEMA}"
    yield from mlmodel.problems(described, names)
    yield from parts_seen.problems(folder, names, module, defined)
    yield from environment_files.problems(folder, names)
    choice = manifest.get("format")
    stated = choice.get("format") if isinstance(choice, dict) else None
    if described.loader in mlmodel.LOADERS and described.formats and described.formats != (stated,):
        yield f"MLmodel and {MANIFEST} say different things of the format"
    yield from _trusting(folder, names, choice if isinstance(choice, dict) else {}, described)
    if module and f"code/{module}.py" not in names:
        yield f"{MANIFEST} names the module {module}, which the package does not have"
    for name in sorted(names):
        if name.startswith("code/") and name not in ("code/__pycache__", f"code/{module}.py"):
            yield f"{name} is code that {MANIFEST} does not name"
    if module in sys.stdlib_module_names or module in _LIBRARIES:
        yield f"{MANIFEST} names the module {module}, which is also a library's"


def _trusting(
    folder: Path, names: frozenset[str], choice: Mapping[str, Any], described: mlmodel.Described
) -> Iterator[str]:
    stated = choice.get("trusted")
    stated = sorted(map(str, stated)) if isinstance(stated, list) else None
    trusted = sorted({*described.trusted, *parts_seen.trusted(folder, names)})
    if stated != trusted:
        yield f"MLmodel and {MANIFEST} trust different types"


# -- judging --------------------------------------------------------------------------------------------------------


def refuse(contents: PackageContents, policy: Policy = DEFAULT) -> None:
    """Raise NotProved unless the package is one, and the policy allows all that it would do."""
    if contents.problems and contents.is_package:
        more = f" ({len(contents.problems)} things are wrong with it: nb2prod inspect lists them)"
        raise _refused(contents, contents.problems[0] + (more if len(contents.problems) > 1 else ""))
    against = judged(contents, policy)
    if against:
        raise NotProved(_said(against, policy), where=contents.place, fix=_fix(against, policy))


def judged(contents: PackageContents, policy: Policy) -> tuple[Breach, ...]:
    """What stands against the package, rule by rule. A plain MLflow folder is judged by a policy of the consumer's."""
    if not contents.is_package and policy.is_default:
        return ()
    signed_by = _signed_by(contents, policy) if policies.needs_signature(policy) else ""
    defined = code_seen.defined(Path(contents.place) / "code" / f"{contents.module}.py") if contents.module else ()
    module = HoistedModule(contents.module, "", tuple(defined)) if contents.module else None
    return policies.breaches(policy, contents, signed_by=signed_by, is_known=lambda seen: is_known(seen, module))


def is_known(seen: NameSeen, module: HoistedModule | None) -> bool:
    """Whether a name in a skops file is on nb2prod's list, for what is done with it."""
    home, _, last = seen.name.rpartition(".")
    if home == "builtins" and seen.use == "called":
        return last in {kind.__name__ for kind in CALLABLE}
    if trusted_names.is_plainly_known(seen.name, seen.use):
        return True
    if home.partition(".")[0] in trusted_names.FAMILIES:
        return trusted_names.computes(seen.name, seen.use)
    return model_formats.is_trusted(seen.name, module)


def _signed_by(contents: PackageContents, policy: Policy) -> str:
    """Who signed it with one of the policy's keys; empty for nobody."""
    from nb2prod.stages.provenance import signing

    if not contents.is_signed:
        return ""
    for key in policy.keys:
        try:
            return signing.verify_signature(Path(contents.place), _beside(policy, key)) or key
        except NotProved:
            continue
    return ""


def _beside(policy: Policy, key: str) -> Path:
    path = Path(policy.place).parent / key
    if not path.is_file():
        raise StoreError("the policy's key is not there", where=str(path), fix="put it there, or take it from keys")
    return path


def _said(against: tuple[Breach, ...], policy: Policy) -> str:
    where = f"the policy {policy.place}" if policy.place else "nb2prod's own policy"
    lines = [f"  {breach.what}  [{breach.rule}: to allow it, {breach.allow}]" for breach in against[:_LISTED]]
    more = [f"  and {len(against) - _LISTED} more"] if len(against) > _LISTED else []
    return "\n".join([f"{where} does not allow it; nothing of it was loaded", *lines, *more])


def _fix(against: tuple[Breach, ...], policy: Policy) -> str:
    rules = ", ".join(dict.fromkeys(breach.rule for breach in against))
    place = policy.place or "a policy.toml (nb2prod inspect --policy default prints one)"
    return f"if you know where the package comes from, allow it with {rules} in {place}"


def _refused(contents: PackageContents, what: str) -> NotProved:
    return NotProved(
        f"{what}; nothing of it was loaded", where=contents.place, fix="make the package again, or fetch it again"
    )
