"""A package is the same bytes wherever it is made, says what it needs under which terms, and who vouches for it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from nb2prod import api
from nb2prod.core.errors import NotProved, UsageError
from nb2prod.stages.provenance import lock, sbom, service_folder
from nb2prod.stages.provenance.closure import closure
from nb2prod.storage import checksums
from tests.stages.provenance.built import build

ROOT = Path(__file__).parents[3]
ELSEWHERE = {
    "TZ": "Asia/Kathmandu",
    "LC_ALL": "C",
    "LANG": "de_DE.UTF-8",
    "PYTHONHASHSEED": "7",
    "USER": "somebody",
    "OMP_NUM_THREADS": "1",
}
# which of its ways of multiplying a matrix OpenBLAS takes: another one fits another model, in the last bit
PROCESSOR = {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}


def as_somebody_else() -> None:
    os.umask(0o077)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """The same notebook, packaged meanwhile in another folder, with another home, time zone, locale, umask and core."""
    home = tmp_path_factory.mktemp("home of somebody")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.stages.provenance.built", str(home / "a deeper" / "folder")],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(home), **ELSEWHERE, **PROCESSOR},
        preexec_fn=as_somebody_else,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory, other: subprocess.Popen[str]) -> Path:
    folder = tmp_path_factory.mktemp("loans") / "here"
    build(folder)
    return folder / "package"


def manifest(package: Path) -> dict[str, Any]:
    return dict(json.loads((package / "package.json").read_text(encoding="utf-8")))


def test_two_builds_have_one_digest_whoever_makes_them_where_and_when(
    package: Path, other: subprocess.Popen[str]
) -> None:
    printed, said = other.communicate()
    assert other.returncode == 0, said
    theirs = Path(printed.strip().partition(" ")[2])
    stated = [set((folder / checksums.FILE).read_text("utf-8").splitlines()) for folder in (package, theirs)]
    assert stated[0] ^ stated[1] == set()
    assert printed.partition(" ")[0] == checksums.verify(package)


def test_a_package_names_neither_moment_nor_run_nor_place(package: Path) -> None:
    """They are beside it, in the folder of its run."""
    texts = [
        path.read_text("utf-8") for path in package.rglob("*") if path.suffix in (".json", ".md", ".yaml", ".html")
    ]
    texts.append((package / "MLmodel").read_text("utf-8"))
    assert [text for text in texts if "run-loans" in text or str(package.parent) in text] == []
    assert [text for text in texts if re.search(r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d", text)] == []
    (line,) = (package.parent / "run-loans" / "packages.jsonl").read_text("utf-8").splitlines()
    noted = json.loads(line)
    assert noted["digest"] == checksums.verify(package)
    assert noted["directory"] == str(package)


# -- what it needs --------------------------------------------------------------------------------------------------


def test_the_lock_has_what_was_imported_with_all_that_it_needs_and_nothing_else(package: Path) -> None:
    pins = lock.read(package / "requirements.lock")
    wanted = closure([*manifest(package)["requirements"], *service_folder.SERVING])
    assert [f"{name}=={version}" for name, (version, _) in pins.items()] == list(wanted.pins)
    assert {"scikit-learn", "scipy", "joblib", "mlflow-skinny", "uvicorn"} <= pins.keys()
    assert not {"mlflow", "papermill", "nb2prod", "matplotlib", "pytest"} & pins.keys()


def test_the_lock_of_the_translation_is_without_mlflow_pandas_and_scikit_learn(package: Path) -> None:
    pins = lock.read(package / "onnx" / "requirements.lock")
    assert {"onnxruntime", "numpy", "uvicorn"} <= pins.keys()
    assert not {"mlflow-skinny", "pandas", "scikit-learn", "skops", "scipy", "pyarrow"} & pins.keys()
    assert "onnx/requirements.lock" in (package / "Dockerfile").read_text("utf-8")


def test_a_lock_says_that_it_has_no_hashes(package: Path) -> None:
    text = (package / "requirements.lock").read_text("utf-8")
    assert "# Without hashes" in text
    assert manifest(package)["lock"]["hashed"] is False
    assert "--require-hashes" not in (package / "Dockerfile").read_text("utf-8")
    assert "://" not in text


def test_the_list_of_components_is_what_cyclonedx_says_it_must_be(package: Path) -> None:
    text = (package / "sbom.json").read_text("utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    model = document["metadata"]["component"]
    assert (model["type"], model["name"]) == ("machine-learning-model", "loans")
    card = model["modelCard"]
    assert card["modelParameters"]["inputs"] == [{"format": "income: double"}, {"format": "text: string"}]
    assert [metric["type"] for metric in card["quantitativeAnalysis"]["performanceMetrics"]] == ["score"]
    names = {part["name"] for part in document["components"]}
    assert (
        names == lock.read(package / "requirements.lock").keys() | lock.read(package / "onnx/requirements.lock").keys()
    )
    assert "timestamp" not in document["metadata"]
    refs = [one["ref"] for one in document["dependencies"]]
    assert {ref for one in document["dependencies"] for ref in one["dependsOn"]} <= {*refs}
    (sklearn,) = (one for one in document["dependencies"] if one["ref"].startswith("pkg:pypi/scikit-learn@"))
    assert [ref.partition("@")[0] for ref in sklearn["dependsOn"]][:2] == ["pkg:pypi/joblib", "pkg:pypi/narwhals"] or {
        "pkg:pypi/numpy",
        "pkg:pypi/scipy",
    } <= {ref.partition("@")[0] for ref in sklearn["dependsOn"]}


def test_a_component_of_a_hashed_lock_has_the_hash_of_its_file() -> None:
    found = closure(["click"])
    hashed = lock.Lock(found.pins, dict.fromkeys(found.pins, (f"sha256:{'a' * 64}",)))
    from nb2prod.stages.provenance.licences import licences

    (library,) = sbom.libraries({"requirements.lock": (hashed, found.found)}, licences(found.found))
    component = sbom._component(library)
    assert component["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert component["licenses"] == [{"expression": "BSD-3-Clause"}]


def test_every_library_has_its_licence_or_is_said_to_have_none(package: Path) -> None:
    document = json.loads((package / "licences.json").read_text("utf-8"))
    listed = {row["name"]: row["licence"] for row in document["libraries"]}
    assert listed.keys() >= lock.read(package / "requirements.lock").keys()
    assert (listed["pandas"], listed["skops"], listed["uvicorn"]) == ("BSD-3-Clause", "MIT", "BSD-3-Clause")
    assert sum(document["licences"].values()) == len(listed)


# -- the service that it carries ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the libraries of the translation's lock, and no other: links to those that are here."""
    site = tmp_path_factory.mktemp("site")
    pins = [f"{name}=={version}" for name, (version, _) in lock.read(package / "onnx/requirements.lock").items()]
    for distribution in (library.distribution for library in closure(pins).found):
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
            (site / top).exists() or (site / top).symlink_to(distribution.locate_file(top))
    return site


def test_the_carried_service_answers_with_the_libraries_of_its_lock_alone(package: Path, bare: Path) -> None:
    """Started in the package's folder, without site-packages: no MLflow, no pandas, no scikit-learn, no nb2prod."""
    before = sorted(package.rglob("*"))
    command = [sys.executable, "-S", "-m", "service", ".", "--port", "0", "--runtime", "onnx", "--log", "json"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(bare)}
    service = subprocess.Popen(
        [*command, "--drain", "0"], cwd=package, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert service.stderr is not None
        said = json.loads(service.stderr.readline())
        assert (said["runtime"], said["digest"]) == ("onnx", checksums.verify(package))
        url = said["message"].rpartition(" ")[2]
        rows = {"dataframe_split": json.loads((package / "input_example.json").read_text("utf-8"))}
        body = json.dumps(rows).encode()
        request = urllib.request.Request(f"{url}/invocations", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            predictions = json.loads(answer.read())["predictions"]
    finally:
        service.send_signal(signal.SIGTERM)
        service.communicate(timeout=20)
    assert predictions == ["yes" if row[0] > 3 else "no" for row in rows["dataframe_split"]["data"]]
    assert service.returncode == 0
    assert sorted(package.rglob("*")) == before


def test_the_carried_service_is_the_one_of_nb2prod(package: Path) -> None:
    source = ROOT / "nb2prod" / "serving"
    ours = [path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert ours
    for path in ours:
        assert (package / "service" / path.relative_to(source)).read_bytes() == path.read_bytes()
    assert not re.search(
        r"^\s*(from|import) nb2prod",
        "".join(path.read_text("utf-8") for path in ours if path.suffix == ".py"),
        re.MULTILINE,
    )


def test_the_container_runs_as_nobody_special_from_the_lock(package: Path) -> None:
    lines = (package / "Dockerfile").read_text("utf-8").splitlines()
    assert [line for line in lines if line.startswith("FROM ")] == [
        f"FROM python:{sys.version.split()[0]}-slim AS made",
        f"FROM python:{sys.version.split()[0]}-slim",
    ]
    for said in ("USER 10001:10001", "STOPSIGNAL SIGTERM", "COPY onnx/requirements.lock /requirements.lock"):
        assert said in lines
    assert any(line.startswith("HEALTHCHECK ") for line in lines)
    assert json.loads(lines[-1].removeprefix("CMD "))[:4] == ["python", "-m", "service", "/package"]
    assert not [line for line in lines if "apt" in line.split() or "gcc" in line]


# -- who vouches for it ---------------------------------------------------------------------------------------------


def keys(folder: Path, name: str) -> tuple[Path, Path]:
    """A private key and its public one, as PEM files."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def signed(package: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A signed copy in another place, and the public key."""
    copied = shutil.copytree(package, tmp_path / "copy")
    private, public = keys(tmp_path, "ours")
    digest = checksums.verify(package)
    assert api.sign(copied, private) == digest
    assert checksums.verify(copied) == digest, "a signature changes nothing of what is signed"
    return copied, public


def test_a_signature_is_of_the_key_that_made_it(signed: tuple[Path, Path], tmp_path: Path) -> None:
    folder, public = signed
    assert re.fullmatch(r"key sha256:[0-9a-f]{64}", api.verify_signature(folder, public))
    _, other = keys(tmp_path, "other")
    with pytest.raises(NotProved, match="the signature does not hold: Key mismatch"):
        api.verify_signature(folder, other)


def test_a_signature_holds_for_no_other_file_even_when_the_checksums_do(signed: tuple[Path, Path]) -> None:
    folder, public = signed
    with (folder / "model_card.md").open("a") as card:
        card.write("Recommended by everybody.\n")
    with pytest.raises(NotProved, match=r"the file model_card\.md was changed"):
        api.verify_signature(folder, public)
    checksums.write(folder)
    with pytest.raises(NotProved, match="it is about another"):
        api.verify_signature(folder, public)


def test_a_file_beside_the_signature_is_found(signed: tuple[Path, Path]) -> None:
    folder, public = signed
    (folder / "service" / "signature.json").write_text("{}")
    with pytest.raises(NotProved, match=r"the file service/signature\.json was added"):
        api.verify_signature(folder, public)


def test_a_package_without_a_signature_is_not_signed(package: Path, tmp_path: Path) -> None:
    with pytest.raises(NotProved, match="the package is not signed"):
        api.verify_signature(package, keys(tmp_path, "ours")[1])


def test_what_is_no_key_is_refused_before_anything_runs(package: Path, tmp_path: Path) -> None:
    _, public = keys(tmp_path, "ours")
    with pytest.raises(UsageError, match="the key cannot be used to sign"):
        api.package("no such notebook.ipynb", tmp_path / "p", sign=public)


def test_a_private_key_is_no_key_to_verify_with(signed: tuple[Path, Path]) -> None:
    folder, public = signed
    with pytest.raises(UsageError, match="this is no public key to verify with"):
        api.verify_signature(folder, public.with_suffix(".pem"))
    with pytest.raises(UsageError, match="No such file"):
        api.verify_signature(folder, public.with_suffix(".gone"))
