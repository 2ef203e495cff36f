"""Packages that an attacker would make: each is a real package, changed, with its checksums made to hold again.

Whatever would run anything writes the file `ran` beside the package; a refused package leaves no such file.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from nb2prod.storage import checksums

Change = Callable[[Path], None]


class Runs:
    """A pickle that runs a command when it is loaded."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.place}",)


def bomb(folder: Path) -> bytes:
    return pickle.dumps(Runs(folder.parent / "ran"))


# -- changes of one file --------------------------------------------------------------------------------------------


def mlmodel(change: Callable[[dict[str, Any]], Any]) -> Change:
    def apply(folder: Path) -> None:
        content = yaml.safe_load((folder / "MLmodel").read_text())
        change(content)
        (folder / "MLmodel").write_text(yaml.safe_dump(content))

    return apply


def manifest(change: Callable[[dict[str, Any]], Any]) -> Change:
    def apply(folder: Path) -> None:
        content = json.loads((folder / "package.json").read_text())
        change(content)
        (folder / "package.json").write_text(json.dumps(content))

    return apply


def pyfunc(**settings: Any) -> Change:
    return mlmodel(lambda content: content["flavors"]["python_function"].update(settings))


def sklearn(**settings: Any) -> Change:
    return mlmodel(lambda content: content["flavors"]["sklearn"].update(settings))


def top(**settings: Any) -> Change:
    return mlmodel(lambda content: content.update(settings))


def written(name: str, content: str | bytes | Callable[[Path], bytes]) -> Change:
    def apply(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = content(folder) if callable(content) else content
        path.write_bytes(raw.encode() if isinstance(raw, str) else raw)

    return apply


def added(name: str, text: str) -> Change:
    def apply(folder: Path) -> None:
        (folder / name).write_text((folder / name).read_text() + text)

    return apply


def several(*changes: Change) -> Change:
    def apply(folder: Path) -> None:
        for change in changes:
            change(folder)

    return apply


def trusting(*names: str) -> Change:
    """MLmodel and package.json agree in trusting these."""
    return several(
        sklearn(skops_trusted_types=sorted(names)),
        manifest(lambda content: content["format"].update(trusted=sorted(names))),
    )


# -- skops files ----------------------------------------------------------------------------------------------------


def plain(value: Any) -> dict[str, Any]:
    return {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": json.dumps(value)}


def entry(name: str, loader: str, **more: Any) -> dict[str, Any]:
    home, _, last = name.rpartition(".")
    return {"__class__": last, "__module__": home, "__loader__": loader, **more}


def skops_file(schema: dict[str, Any], *, protocol: Any = 2) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("schema.json", json.dumps({**schema, "protocol": protocol, "_skops_version": "0.16.0"}))
    return raw.getvalue()


def called(name: str, *arguments: Any) -> dict[str, Any]:
    """What loads by calling the name with these arguments."""
    content = entry("builtins.tuple", "TupleNode", content=[plain(argument) for argument in arguments])
    return entry(name, "ConstructorFromReduceNode", content=content)


def with_state(name: str, **state: Any) -> dict[str, Any]:
    keys = entry("builtins.list", "ListNode", content=[entry("builtins.str", "TypeNode")] * len(state))
    held = {key: plain(value) for key, value in state.items()}
    return entry(name, "ObjectNode", content=entry("builtins.dict", "DictNode", content=held, key_types=keys))


def _unpickling(folder: Path) -> bytes:
    """numpy's own loader, by another of its names, told to unpickle a file of the package."""
    target = folder / "artifacts" / "table.bin"
    target.parent.mkdir(exist_ok=True)
    np.save(raw := io.BytesIO(), np.array([Runs(folder.parent / "ran")], dtype=object), allow_pickle=True)
    target.write_bytes(raw.getvalue())
    return skops_file(called("numpy.matlib.load", str(target), None, True))


def _executing(folder: Path) -> bytes:
    """scipy's distributions keep a piece of their code as text, and run it when their state is set."""
    code = f"__import__('os').system('touch {folder.parent / 'ran'}')"
    state = {"_parse_arg_template": code, "moment_type": 0, "a": 0, "b": 1, "shapes": "", "numargs": 0}
    return skops_file(with_state("scipy.stats._continuous_distns.norm_gen", **state))


def _by_key(folder: Path) -> bytes:
    """The type of a dictionary's key is called with the key."""
    keys = entry("builtins.list", "ListNode", content=[entry("posix.system", "TypeNode")])
    held = {f"touch {folder.parent / 'ran'}": plain(1)}
    return skops_file(entry("builtins.dict", "DictNode", content=held, key_types=keys))


def _system(folder: Path) -> bytes:
    return skops_file(called("posix.system", f"touch {folder.parent / 'ran'}"))


def _writing(folder: Path) -> bytes:
    return skops_file(called("numpy.memmap", str(folder.parent / "ran"), "uint8", "w+", 0, [8]))


def _twice(folder: Path) -> bytes:
    """Two schemas of one name, of which readers may take the one or the other."""
    raw = io.BytesIO((folder / "model.skops").read_bytes())
    with zipfile.ZipFile(raw, "a") as archive:
        archive.writestr("schema.json", "{}")
    return raw.getvalue()


# -- the rest of it -------------------------------------------------------------------------------------------------


def _without_flavor(content: dict[str, Any]) -> None:
    """MLflow then takes the model for a pickle."""
    del content["flavors"]["sklearn"]


def _nested(folder: Path) -> None:
    """A second MLmodel, which MLflow reads instead when `data` names a file beside it."""
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / "model.skops").write_bytes(bomb(folder))
    inner = {"flavors": {"sklearn": {"serialization_format": "pickle"}}}
    (folder / "artifacts" / "MLmodel").write_text(yaml.safe_dump(inner))
    pyfunc(data="artifacts/model.skops")(folder)


def _other_flavor(name: str, **settings: Any) -> Change:
    def apply(content: dict[str, Any]) -> None:
        content["flavors"][name] = {"data": "model.skops", "code": None, **settings}
        del content["flavors"]["sklearn"]
        own = content["flavors"]["python_function"]
        del own["model_path"]
        own.update(loader_module=f"mlflow.{name}", data="model.skops")

    return several(mlmodel(apply), manifest(lambda content: content["format"].update(format=name, trusted=[])))


def _parts(part: dict[str, Any], **more: Any) -> Change:
    """A model in parts, whose own code opens what `model.json` names."""

    def apply(folder: Path) -> None:
        home = folder / "artifacts" / "model"
        home.mkdir(parents=True)
        shutil.copy(folder / "model.skops", home / "part.skops")
        described = {"format": "skops", "file": "part.skops", "name": "", "trusted": [], **part}
        content = {"parts": [described], "container": "object", "asking": {"methods": ["predict"], "function": ""}}
        (home / "model.json").write_text(json.dumps({**content, **more}))
        template = Path(__file__).parents[2] / "templates" / "package" / "python_model.py"
        shutil.copy(template, folder / "python_model.py")
        mlmodel(_as_code)(folder)

    return apply


def _as_code(content: dict[str, Any]) -> None:
    del content["flavors"]["sklearn"]
    own = content["flavors"]["python_function"]
    del own["model_path"]
    place = {"path": "artifacts/model", "uri": "artifacts/model"}
    own.update(
        loader_module="mlflow.pyfunc.loaders.code_model", model_code_path="python_model.py", artifacts={"model": place}
    )


def external_onnx(location: bytes) -> bytes:
    """A model with one tensor that lies in the file `location`, as protocol buffers spell it."""

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    where = field(1, b"location") + field(2, location)
    tensor = field(8, b"w") + field(13, where) + bytes([14 << 3, 1])
    return field(7, field(5, tensor)) + field(8, b"")


def _link(name: str, target: str) -> Change:
    def apply(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return apply


def _device(folder: Path) -> None:
    """Whoever may make no device makes a pipe, which would block whoever reads it."""
    os.mkfifo(folder / "extra")


EVIL = "import pathlib\npathlib.Path(__file__).parents[2].joinpath('ran').write_text('')\n"
# what an attacker changes -> what is said of it
FORGERIES: dict[str, tuple[Change, str]] = {
    "a loader of its own": (several(written("code/evil.py", EVIL), pyfunc(loader_module="evil")), "the loader evil"),
    "a loader with submodules": (pyfunc(loader_module="mlflow.pyfunc.model"), "the loader mlflow.pyfunc.model"),
    "code from outside": (pyfunc(code="../.."), "takes code from ../.."),
    "code that nobody names": (written("code/joblib.py", EVIL), "code/joblib.py"),
    "byte code": (written("code/evil.pyc", b"\x00"), "no Python file"),
    "a module named as a library": (
        several(written("code/joblib.py", EVIL), manifest(lambda content: content.update(module="joblib"))),
        "code/doubling_functions.py is code",
    ),
    "no flavor, and a skops file": (mlmodel(_without_flavor), "has the flavors python_function"),
    "a library as code": (written("code/evil.so", b"\x7fELF"), "no Python file"),
    "no flavor, so a pickle": (several(mlmodel(_without_flavor), written("model.skops", bomb)), "it is a pickle"),
    "an MLmodel within": (_nested, "artifacts/model.skops"),
    "no format, so a pickle": (sklearn(serialization_format=None), "different things of the format"),
    "a model elsewhere": (pyfunc(model_path="/etc/passwd"), "outside of the package"),
    "two models": (sklearn(pickled_model="package.json"), "two files as the model"),
    "a class that runs": (_other_flavor("xgboost", model_class="os.abort"), "the class os.abort"),
    "a LightGBM pickle": (
        _other_flavor("lightgbm", model_class="lightgbm.sklearn.LGBMModel", serialization_format="cloudpickle"),
        "LightGBM's own format",
    ),
    "a function as method": (pyfunc(predict_fn="__init__"), "by __init__"),
    "a stream": (pyfunc(streamable=True, predict_stream_fn="x"), "predict_stream_fn"),
    "variables": (top(env_vars=["AWS_SECRET_ACCESS_KEY"]), "env_vars"),
    "resources": (top(resources={"api_version": "1"}), "resources"),
    "an account": (top(auth_policy={"user_auth_policy": {}}), "auth_policy"),
    "external artifacts": (top(metadata={"mlflow.model.isExternal": True}), "metadata"),
    "a key of a later MLflow": (top(on_load="os.system"), "on_load, which is not known"),
    "an id that is a path": (top(model_uuid="../../x"), "model_uuid"),
    "an example elsewhere": (top(saved_input_example_info={"artifact_path": "/etc/passwd"}), "/etc/passwd"),
    "artifacts elsewhere": (
        pyfunc(artifacts={"model": {"path": "model.skops", "uri": "file:///etc/passwd"}}),
        "outside of the package",
    ),
    "YAML that makes objects": (added("MLmodel", "\nevil: !!python/object/apply:os.abort []\n"), "no model"),
    "no manifest": (lambda folder: (folder / "package.json").unlink(), "not of the schema"),
    "a manifest that is a list": (written("package.json", "[]"), "not of the schema"),
    "a pickle as skops": (written("model.skops", bomb), "model.skops is no skops file"),
    "a pickle as JSON": (written("input_example.json", bomb), "it is a pickle"),
    "a pickle as ONNX": (written("onnx/model.onnx", bomb), "it is a pickle"),
    "a pickle as an array": (
        written("parity/predictions.npy", lambda folder: _objects(folder)),
        "an array of objects",
    ),
    "os.system in the schema": (several(written("model.skops", _system), trusting("posix.system")), "posix.system"),
    "os.system, not even trusted": (several(written("model.skops", _system), trusting()), "posix.system"),
    "a loader that unpickles": (
        several(written("model.skops", _unpickling), trusting("numpy.matlib.load")),
        "numpy.matlib.load",
    ),
    "a class that runs its state": (
        several(written("model.skops", _executing), trusting("scipy.stats._continuous_distns.norm_gen")),
        "norm_gen",
    ),
    "a class that writes files": (several(written("model.skops", _writing), trusting("numpy.memmap")), "numpy.memmap"),
    "a key that is a call": (several(written("model.skops", _by_key), trusting("posix.system")), "posix.system"),
    "two schemas": (written("model.skops", _twice), "two of its members have one name"),
    "a schema that is deep": (
        written("model.skops", lambda _: _deep(100_000)),
        "no skops file",
    ),
    "trust in one file only": (sklearn(skops_trusted_types=["posix.system"]), "trust different types"),
    "an option for pip": (added("requirements.txt", "\n--index-url https://example.org/simple\n"), "an option"),
    "a file for pip": (added("requirements.txt", "\n-r /etc/passwd\n"), "an option"),
    "an address for pip": (added("requirements.txt", "\nevil @ https://example.org/evil.whl\n"), "an address"),
    "a folder for pip": (added("requirements.txt", "\n./code\n"), "no library"),
    "a continued line": (added("requirements.txt", "\nnumpy \\\n  --global-option=x\n"), "no library"),
    "a channel": (
        written("conda.yaml", "channels: [https://example.org]\ndependencies: [python=3.11]\n"),
        "another channel",
    ),
    "conda's pip": (written("conda.yaml", "dependencies: [{pip: ['-e ./code']}]\n"), "an option"),
    "conda's packages": (written("conda.yaml", "dependencies: [evil-toolkit]\n"), "more than Python"),
    "an environment that builds": (written("python_env.yaml", "build_dependencies: ['-e .']\n"), "an option"),
    "a part elsewhere": (_parts({"file": "../../../../etc/passwd"}), "not beside it"),
    "a part by an absolute name": (_parts({"file": "/etc/passwd"}), "not beside it"),
    "a part of a format of its own": (_parts({"format": "dill"}), "written as dill"),
    "a function of a library": (
        _parts({}, module="os", asking={"methods": [], "function": "system"}),
        "code from os",
    ),
    "a hidden method": (_parts({}, asking={"methods": ["__reduce__"], "function": ""}), "by __reduce__"),
    "data of ONNX elsewhere": (written("onnx/model.onnx", external_onnx(b"../../../etc/passwd")), "another file"),
    "a link": (_link("model_card.md", "/etc/passwd"), "model_card.md is a link"),
    "a link to a folder": (_link("plots2", "/etc"), "plots2 is a link"),
    "a pipe": (_device, "extra is neither a file nor a folder"),
}


def _objects(folder: Path) -> bytes:
    raw = io.BytesIO()
    np.save(raw, np.array([Runs(folder.parent / "ran")], dtype=object), allow_pickle=True)
    return raw.getvalue()


def _deep(levels: int) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("schema.json", "[" * levels)
    return raw.getvalue()


def forge(package: Path, target: Path, change: Change) -> Path:
    """A copy with the change, and with checksums that hold where they can."""
    shutil.copytree(package, target)
    change(target)
    try:
        checksums.write(target)
    except Exception:  # noqa: BLE001 - a link or a pipe, of which there is no checksum
        return target
    return target


# -- archives -------------------------------------------------------------------------------------------------------


def _tar(path: Path, package: Path, *members: tuple[tarfile.TarInfo, bytes]) -> None:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        archive.add(package, "package")


def _member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def _zip(path: Path, package: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
        for file in package.rglob("*"):
            archive.write(file, file.relative_to(package))


def _zip_link(name: str, target: bytes) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info, target


def _million(path: Path, package: Path) -> None:
    """A zip file whose end says so: the list itself would take seconds to write."""
    _zip(path, package)
    raw = bytearray(path.read_bytes())
    place = raw.rfind(b"PK\x05\x06")
    raw[place + 8 : place + 12] = b"\xff\xff\xff\xff"
    path.write_bytes(raw)


def _many(path: Path, package: Path) -> None:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for number in range(400):
            archive.addfile(tarfile.TarInfo(f"package/{number}"))


def _long_name(path: Path, package: Path) -> None:
    with tarfile.open(path, "w:gz", compresslevel=1, format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("package/a")
        info.pax_headers = {"comment": "x" * 3_000_000}
        archive.addfile(info)


ARCHIVES: dict[str, tuple[str, Callable[[Path, Path], None], str]] = {
    "outside, tar": ("a.tar.gz", lambda p, q: _tar(p, q, (_member("../../ran"), b"x")), "leads outside"),
    "outside, within": ("a.tar.gz", lambda p, q: _tar(p, q, (_member("a/../../ran"), b"x")), "leads outside"),
    "absolute, tar": ("a.tar.gz", lambda p, q: _tar(p, q, (_member("/tmp/ran"), b"x")), "an absolute name"),
    "a link, then through it": (
        "a.tar.gz",
        lambda p, q: _tar(p, q, (_member("l", tarfile.SYMTYPE, "/tmp"), b""), (_member("l/ran"), b"x")),
        "is a link",
    ),
    "a hard link": ("a.tgz", lambda p, q: _tar(p, q, (_member("l", tarfile.LNKTYPE, "/etc/passwd"), b"")), "is a link"),
    "a device": ("a.tar.gz", lambda p, q: _tar(p, q, (_member("d", tarfile.CHRTYPE), b"")), "neither a file"),
    "a pipe": ("a.tar.gz", lambda p, q: _tar(p, q, (_member("d", tarfile.FIFOTYPE), b"")), "neither a file"),
    "twice": ("a.tar.gz", lambda p, q: _tar(p, q, (_member("a"), b"1"), (_member("./a"), b"2")), "is there twice"),
    "many members": ("a.tar.gz", _many, "more than 300 members"),
    "a long description": ("a.tar.gz", _long_name, "damaged"),
    "a bomb": ("a.tar.gz", lambda p, q: _tar(p, q, (_member("z"), bytes(25_000_000))), "more bytes"),
    "outside, zip": ("a.zip", lambda p, q: _zip(p, q, ("../../ran", b"x")), "leads outside"),
    "absolute, zip": ("a.zip", lambda p, q: _zip(p, q, ("/tmp/ran", b"x")), "an absolute name"),
    "another system's name": ("a.zip", lambda p, q: _zip(p, q, ("..\\ran", b"x")), "no plain name"),
    "a drive": ("a.zip", lambda p, q: _zip(p, q, ("C:ran", b"x")), "an absolute name"),
    "a link, zip": ("a.zip", lambda p, q: _zip(p, q, _zip_link("l", b"/tmp")), "is a link"),
    "a million members": ("a.zip", _million, "more than 300 members"),
    "a bomb, zip": ("a.zip", lambda p, q: _zip(p, q, ("z", bytes(25_000_000))), "more bytes"),
    "no archive": ("a.zip", lambda p, q: p.write_bytes(b"not a zip file") and None, "no archive"),
    "no archive, tar": ("a.tar.gz", lambda p, q: p.write_bytes(b"not a tar file") and None, "no archive"),
}
