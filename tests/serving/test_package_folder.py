"""A folder is checked before anything of it is loaded, and what is wrong is named."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nb2prod.serving.errors import ServingError
from nb2prod.serving.package_folder import open_folder


@pytest.fixture
def package(customer_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(customer_model, tmp_path / "copy"))


def test_a_whole_package_opens_with_its_name_version_and_the_digest_of_its_checksums(package: Path) -> None:
    opened = open_folder(package)
    digest = hashlib.sha256((package / "checksums").read_bytes()).hexdigest()
    assert (opened.name, opened.version, opened.digest) == ("customers", "3", digest)
    assert opened.signature is not None
    kinds = {column.name: (column.kind.name, column.required) for column in opened.signature.columns}
    assert kinds == {
        "age": ("long", True),
        "income (k$)": ("double", True),
        "city": ("string", True),
        "member": ("boolean", True),
        "score": ("double", False),
    }


def test_a_plain_mlflow_folder_goes_by_its_own_name_and_the_digest_of_mlmodel(obedient_model: Path) -> None:
    opened = open_folder(obedient_model)
    digest = hashlib.sha256((obedient_model / "MLmodel").read_bytes()).hexdigest()
    assert (opened.name, opened.version, opened.digest, opened.checksums) == ("obedient", "", digest, None)


def _flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "model.skops").read_bytes())
    content[1000] ^= 1
    (folder / "model.skops").write_bytes(content)


def _rename_in_checksums(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / "checksums").read_text()
        (folder / "checksums").write_text(text.replace(f"  {old}\n", f"  {new}\n"))

    return change


def _point_the_model_elsewhere(folder: Path) -> None:
    shutil.move(folder / "model.skops", folder.parent / "model.skops")
    (folder / "model.skops").symlink_to(folder.parent / "model.skops")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "one bit": (_flip_a_bit, "model.skops is not what its checksum says"),
    "a changed manifest": (lambda f: (f / "package.json").write_text("{}"), "package.json is not what"),
    "a missing file": (lambda f: (f / "conda.yaml").unlink(), "conda.yaml is missing"),
    "a missing manifest": (lambda f: (f / "package.json").unlink(), "package.json is missing"),
    "missing checksums": (lambda f: (f / "checksums").unlink(), "checksums is missing"),
    "an added file": (lambda f: (f / "evil.py").write_text("x"), "evil.py was added"),
    "a symlink": (_point_the_model_elsewhere, "model.skops is a symlink"),
    "a symlink to a folder": (lambda f: (f / "code").symlink_to("/tmp"), "code is a symlink"),
    "a path that leaves": (_rename_in_checksums("conda.yaml", "../conda.yaml"), "line 2 of checksums"),
    "an absolute path": (_rename_in_checksums("conda.yaml", "/etc/hosts"), "line 2 of checksums"),
    "a file named twice": (_rename_in_checksums("conda.yaml", "MLmodel"), "line 2 of checksums"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_package_is_refused_by_the_name_of_what_is_wrong(package: Path, damage: str) -> None:
    change, expected = DAMAGES[damage]
    change(package)
    with pytest.raises(ServingError, match=expected.replace(".", r"\.")) as caught:
        open_folder(package)
    assert caught.value.exit_code == 7


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("loader_module: mlflow.sklearn", "loader_module: antigravity", "loader that is not one of MLflow's"),
        ("model_path: model.skops", "model_path: ../model.skops", "a path outside its folder"),
        ("code: null", "code: /tmp", "a path outside its folder"),
        ("flavors:", "flavours:", "describes no model"),
    ],
)
def test_a_forged_mlmodel_is_refused_although_its_checksums_hold(
    package: Path, package_of: Callable[..., str], old: str, new: str, expected: str
) -> None:
    text = (package / "MLmodel").read_text()
    assert old in text
    (package / "MLmodel").write_text(text.replace(old, new))
    package_of(package)
    with pytest.raises(ServingError, match=expected):
        open_folder(package)


def test_what_loading_a_package_elsewhere_leaves_behind_is_neither_refused_nor_copied(
    package: Path, tmp_path: Path
) -> None:
    before = open_folder(package).digest
    (package / "registered_model_meta").write_text("model_name: customers\n")
    (package / "code" / "__pycache__").mkdir(parents=True)
    (package / "code" / "__pycache__" / "mine.cpython-311.pyc").write_bytes(b"forged")
    opened = open_folder(package)
    assert opened.digest == before
    opened.copied_to(tmp_path / "checked")
    copied = {path.relative_to(tmp_path / "checked").as_posix() for path in (tmp_path / "checked").rglob("*.*")}
    assert "model.skops" in copied
    assert not {name for name in copied if "pyc" in name or "registered" in name}


def test_a_file_that_changes_after_the_check_is_not_loaded(package: Path, tmp_path: Path) -> None:
    opened = open_folder(package)
    _flip_a_bit(package)
    with pytest.raises(ServingError, match=r"model\.skops changed while"):
        opened.copied_to(tmp_path / "checked")


def test_a_folder_that_is_no_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="the file MLmodel is missing"):
        open_folder(tmp_path)
    with pytest.raises(ServingError, match="there is no such folder"):
        open_folder(tmp_path / "nowhere")


def test_the_example_is_read_as_rows(package: Path) -> None:
    stored = json.loads((package / "input_example.json").read_text())
    rows = [dict(zip(stored["columns"], row, strict=True)) for row in stored["data"]]
    assert list(open_folder(package).example) == rows
