"""A package is looked into and judged without loading any of it, and nothing gets past that."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from nb2prod.cli import main
from nb2prod.core.errors import NotProved, UsageError
from nb2prod.core.model_package import FormatChoice, Parity
from nb2prod.core.pipeline import HoistedModule
from nb2prod.core.policy import DEFAULT, Policy, as_toml
from nb2prod.stages import admission, trust
from nb2prod.stages.provenance import signing
from nb2prod.stages.read_package import read_package
from nb2prod.storage import artifacts, checksums, codec
from nb2prod.storage.model_formats import choose, importable
from tests.stages.forgeries import ARCHIVES, FORGERIES, forge, manifest

ROOT = Path(__file__).parents[2]
SOURCE = "def doubled(frame):\n    return frame * 2\n"
MODULE = HoistedModule("doubling_functions", SOURCE, ("doubled",))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small package of the same make as those of notebooks, which take much longer to prove."""
    folder = tmp_path_factory.mktemp("trust") / "made"
    rows = pd.DataFrame({"a": np.arange(30.0), "b": np.arange(30.0) % 3})
    with importable(MODULE) as module, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_pipeline(FunctionTransformer(module.doubled), LogisticRegression()).fit(rows, rows["a"] > 14)
        choice = choose(model, MODULE, rows).choice
        (folder.parent / "doubling_functions.py").write_text(SOURCE)
        mlflow.sklearn.save_model(
            model,
            str(folder),
            serialization_format="skops",
            skops_trusted_types=list(choice.trusted),
            signature=infer_signature(rows, model.predict(rows)),
            input_example=rows[:3],
            pip_requirements=["scikit-learn==1.9.1", "skops==0.16.0"],
            code_paths=[str(folder.parent / "doubling_functions.py")],
        )
    _write_papers(folder, rows, model, choice)
    return folder


def _write_papers(folder: Path, rows: pd.DataFrame, model: Any, choice: FormatChoice) -> None:
    shutil.rmtree(folder / "code" / "__pycache__", ignore_errors=True)
    artifacts.write(rows, folder / "parity" / "example")
    artifacts.write(np.arange(30), folder / "parity" / "predictions")
    manifest = {
        "schema": "nb2prod/package/1",
        "name": "doubling",
        "version": "1",
        "format": codec.plain(choice),
        "module": "doubling_functions",
        "metrics": {},
        "parity": codec.plain(Parity("equal", "", "", ())),
        "requirements": [],
    }
    (folder / "package.json").write_text(json.dumps(manifest))
    (folder / "model_card.md").write_text("# doubling\n")
    checksums.write(folder)


@dataclass(frozen=True)
class Watched:
    said: list[str]
    breaches: list[str]


@pytest.fixture(scope="module")
def watched(made: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Watched]:
    """Every forgery and the real package, each judged in a process that notes whatever is loaded, run or written."""
    home = tmp_path_factory.mktemp("forged")
    places = {"the real one": made}
    for number, (name, (change, _)) in enumerate(FORGERIES.items()):
        places[name] = forge(made, home / str(number) / "package", change)
    for number, (name, (file, make, _)) in enumerate(ARCHIVES.items()):
        places[f"archive: {name}"] = home / f"archive{number}" / file
        (home / f"archive{number}").mkdir()
        make(places[f"archive: {name}"], made)
    scratch = home / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.stages.watched_process", str(scratch), *map(str, places.values())],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(scratch), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert list(scratch.iterdir()) == []
    assert list(home.rglob("ran")) == []
    return {name: Watched(**line) for name, line in zip(places, lines, strict=True)}


def test_the_real_package_is_allowed_and_nothing_of_it_is_loaded(watched: dict[str, Watched]) -> None:
    assert watched["the real one"] == Watched(["allowed", "allowed"], [])


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_package_is_refused_by_every_way_in_with_nothing_loaded_or_written(
    watched: dict[str, Watched], name: str
) -> None:
    found = watched[name]
    assert found.breaches == []
    assert [text[:13] for text in found.said] == ["NotProved 5: "] * 2
    assert FORGERIES[name][1] in found.said[1]
    assert all("nothing of it was loaded" in text for text in found.said)


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_forged_archive_is_refused_with_nothing_loaded_or_written(watched: dict[str, Watched], name: str) -> None:
    found = watched[f"archive: {name}"]
    assert found.breaches == []
    assert [text[:13] for text in found.said] == ["NotProved 5: "] * 2
    assert all(ARCHIVES[name][2] in text for text in found.said)


# -- integrity ------------------------------------------------------------------------------------------------------


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _flipped(path: Path, data: st.DataObject) -> None:
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, 8 * len(content) - 1))
    content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)


def _added(path: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["new", "evil.py", ".hidden", "sitecustomize.py", "MLmodel.yaml", "é"]))
    (path.parent / name).write_bytes(data.draw(st.binary(max_size=20)))


def _renamed(path: Path, data: st.DataObject) -> None:
    path.rename(path.parent / data.draw(st.sampled_from([path.name + "x", "x" + path.name, path.name.swapcase()])))


def _exchanged(path: Path, data: st.DataObject) -> None:
    """Two files with each other's names: every byte is still there."""
    others = [other for other in _files(path.parent) if other.read_bytes() != path.read_bytes()]
    assume(others)
    other = data.draw(st.sampled_from(others))
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_bit_flipped_a_file_added_removed_renamed_or_exchanged_is_found(
    made: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = Path(shutil.copytree(made, tmp_path_factory.mktemp("changed") / "package"))
    path = data.draw(st.sampled_from(_files(folder)))
    change = data.draw(st.sampled_from([_flipped, _added, _renamed, _exchanged, lambda path, _: path.unlink()]))
    change(path, data)
    with pytest.raises(NotProved, match="nothing of it was loaded"):
        read_package(folder)
    with pytest.raises(NotProved, match="nothing of it was loaded"), admission.admitted(folder, DEFAULT):
        pass
    shutil.rmtree(folder.parent)


def test_what_is_admitted_is_a_copy_of_the_named_files_that_goes_afterwards(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "package"))
    (folder / "registered_model_meta").write_text("left by a registry")
    with admission.admitted(folder, DEFAULT) as copy:
        assert sorted(path.relative_to(copy) for path in _files(copy)) == sorted(
            path.relative_to(made) for path in _files(made)
        )
        assert checksums.verify(copy) == checksums.verify(made)
        assert copy.parent.stat().st_mode & 0o077 == 0
    assert not copy.exists()


def test_a_package_that_changes_after_its_check_is_not_what_is_loaded(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are changed while they are copied: the copy is checked, not only what it was made from."""
    folder = Path(shutil.copytree(made, tmp_path / "package"))
    copyfile = shutil.copyfile

    def change(source: Path, target: Path, **options: Any) -> Any:
        if source.name == "MLmodel":
            (folder / "model.skops").write_bytes(b"another model")
        return copyfile(source, target, **options)

    monkeypatch.setattr(shutil, "copyfile", change)
    with pytest.raises(NotProved, match=r"model\.skops was changed"), admission.admitted(folder, DEFAULT):
        pass


@pytest.mark.parametrize("kind", ["zip", "gztar", "tar"])
def test_an_archive_of_a_package_is_taken_as_the_package(made: Path, tmp_path: Path, kind: str) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "sent"), kind, made.parent, "made"))
    with admission.admitted(archive, DEFAULT) as copy:
        assert checksums.verify(copy) == checksums.verify(made)
    flat = Path(shutil.make_archive(str(tmp_path / "flat"), kind, made))
    with admission.admitted(flat, DEFAULT) as copy:
        assert read_package(copy).digest == checksums.verify(made)


# -- what is seen ---------------------------------------------------------------------------------------------------


def test_a_look_says_what_would_be_loaded_and_from_where(made: Path) -> None:
    seen = trust.look(made)
    assert (seen.name, seen.loader, seen.formats, seen.problems) == ("doubling", "mlflow.sklearn", ("skops",), ())
    assert (seen.whole, seen.digest) == (True, checksums.verify(made))
    found = {(one.name, one.use, one.origin) for one in seen.names}
    assert {
        ("doubling_functions.doubled", "value", "code/doubling_functions.py"),
        ("sklearn.pipeline.Pipeline", "made", "scikit-learn 1.9.1"),
        ("builtins.str", "called", "Python"),
    } <= found
    assert [(one.kind, one.where) for one in seen.permissions] == [("code", "code/doubling_functions.py")]
    roles = {file.path: (file.kind, file.role) for file in seen.files}
    assert roles["model.skops"] == ("skops", "the model")
    assert [name for name, (_, role) in roles.items() if "unknown" in role] == []


def test_what_code_could_do_is_seen_in_its_text(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "package"))
    (folder / "code" / "doubling_functions.py").write_text(
        "import socket\nfrom os import path\nimport os\n\ndef doubled(x):\n    os.system('ls')\n"
        "    eval('1')\n    return open('/etc/passwd').read()\n"
    )
    (folder / "parity" / "example.parquet").unlink()
    (folder / "parity" / "example.pkl").write_bytes(b"\x80\x04cos\nsystem\n.")
    checksums.write(folder)
    seen = trust.look(folder)
    name = "code/doubling_functions.py"
    assert {(one.kind, one.what, one.where) for one in seen.permissions} == {
        ("code", "is run", name),
        ("network", "imports socket", f"{name}:1"),
        ("processes", "uses os.system", f"{name}:6"),
        ("code", "calls eval", f"{name}:7"),
        ("files", "calls open", f"{name}:8"),
        ("pickle", "is unpickled", "parity/example.pkl"),
    }
    assert ("os.system", "parity/example.pkl") in {(one.name, one.file) for one in seen.names}


# -- policies -------------------------------------------------------------------------------------------------------


def _against(made: Path, **rules: Any) -> list[tuple[str, str]]:
    found = trust.judged(trust.look(made), Policy(place="policy.toml", **rules))
    return [(breach.rule, breach.allow) for breach in found]


@pytest.mark.parametrize(
    ("rules", "against"),
    [
        ({}, []),
        ({"code": "deny"}, [("code", 'code = "allow"')]),
        ({"code": "signed"}, [("code", 'code = "allow", or sign it with one of the policy\'s keys')]),
        ({"pickle": "deny"}, []),
        ({"formats": ("onnx",)}, [("formats", 'formats = ["skops"]')]),
        ({"signature": "required"}, [("signature", 'keys = ["THEIR-KEY.pem"]')]),
        ({"maximum_size": 100}, [("maximum_size", 'maximum_size = "')]),
        ({"maximum_files": 3}, [("maximum_files", "maximum_files = ")]),
        (
            {"types": ("builtins.*", "numpy.*", "sklearn.pipeline.*", "sklearn.linear_model.*")},
            [
                ("types", 'types = ["doubling_functions.doubled"]'),
                ("types", 'types = ["sklearn.preprocessing._function_transformer.FunctionTransformer"]'),
            ],
        ),
        ({"types": ("known",)}, []),
    ],
)
def test_each_rule_refuses_what_it_is_about_and_says_what_would_allow_it(
    made: Path, rules: dict[str, Any], against: list[tuple[str, str]]
) -> None:
    found = _against(made, **rules)
    assert [rule for rule, _ in found] == [rule for rule, _ in against]
    assert all(said.startswith(expected) for (_, said), (_, expected) in zip(found, against, strict=True))


def test_a_signature_counts_when_it_is_of_one_of_the_policys_keys(made: Path, tmp_path: Path) -> None:
    pytest.importorskip("model_signing")
    ours, theirs = (_key(tmp_path / name) for name in ("ours", "theirs"))
    folder = Path(shutil.copytree(made, tmp_path / "package"))
    signing.sign(folder, ours)
    (tmp_path / "policy.toml").write_text('signature = "required"\ncode = "signed"\nkeys = ["ours.pub"]\n')
    with admission.admitted(folder, admission.find_policy(folder, tmp_path)) as copy:
        assert (copy / "signature.json").is_file()
    (tmp_path / "policy.toml").write_text('signature = "required"\ncode = "signed"\nkeys = ["theirs.pub"]\n')
    with (
        pytest.raises(NotProved, match="nobody whose key the policy has signed it"),
        admission.admitted(folder, admission.find_policy(folder, tmp_path)),
    ):
        pass
    assert theirs.is_file()


def _key(stem: Path) -> Path:
    """A private key, with the public one beside it as `.pub`."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private, plain = form.PrivateFormat.PKCS8, form.NoEncryption()
    stem.with_suffix(".pem").write_bytes(key.private_bytes(form.Encoding.PEM, private, plain))
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    stem.with_suffix(".pub").write_bytes(public)
    return stem.with_suffix(".pem")


def test_a_refusal_lists_each_thing_with_its_rule(made: Path) -> None:
    with pytest.raises(NotProved) as refused:
        trust.refuse(trust.look(made), Policy(place="ours/policy.toml", code="deny", formats=("onnx",)))
    assert refused.value.what.splitlines() == [
        "the policy ours/policy.toml does not allow it; nothing of it was loaded",
        '  a model is written as skops  [formats: to allow it, formats = ["skops"]]',
        '  code/doubling_functions.py: code of its own  [code: to allow it, code = "allow"]',
    ]
    assert "formats, code in ours/policy.toml" in refused.value.fix


def test_the_policy_of_the_commands_folder_is_found_but_none_within_the_package(made: Path, tmp_path: Path) -> None:
    assert admission.find_policy(made, tmp_path) == DEFAULT
    (tmp_path / "policy.toml").write_text('code = "deny"\n')
    assert admission.find_policy(made, tmp_path).code == "deny"
    with pytest.raises(NotProved, match="within the package that it is to judge"):
        admission.find_policy(tmp_path, tmp_path)
    (tmp_path / ".nb2prod").mkdir()
    (tmp_path / ".nb2prod" / "policy.toml").write_text("")
    with pytest.raises(UsageError, match="two policies"):
        admission.find_policy(made, tmp_path)


def test_the_default_policy_reads_back_as_it_is_printed(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(as_toml(DEFAULT))
    assert dataclasses.replace(admission.read_policy(tmp_path / "policy.toml"), place="") == DEFAULT


def test_the_policy_of_the_documents_is_one_and_names_every_rule(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    (tmp_path / "policy.toml").write_text(page.partition("```toml\n")[2].partition("```")[0])
    read = admission.read_policy(tmp_path / "policy.toml")
    assert (read.pickle, read.maximum_size, read.keys) == ("deny", 500_000_000, ("keys/modelling-team.pem",))
    rules = [field.name for field in dataclasses.fields(Policy) if field.name != "place"]
    assert [rule for rule in rules if f"`{rule}`" not in page] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('cod = "deny"', "there is no rule cod"),
        ("code = true", "code is True"),
        ('code = "never"', "code is 'never'"),
        ('types = "known"', "types is no list"),
        ("maximum_size = 5", "maximum_size is 5"),
        ('maximum_size = "five"', "maximum_size is 'five'"),
        ("maximum_files = 0", "maximum_files is 0"),
        ('schema = "nb2prod/policy/9"', "not of the schema"),
        ("code = ", "no TOML"),
    ],
)
def test_a_policy_that_says_nothing_clear_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "policy.toml").write_text(text)
    with pytest.raises(UsageError, match=said):
        admission.read_policy(tmp_path / "policy.toml")


# -- the command ----------------------------------------------------------------------------------------------------


def test_the_command_shows_a_package_and_ends_with_5_where_it_may_not_be_loaded(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(main, ["inspect", str(made)])
    assert (shown.exit_code, "allowed by nb2prod's own policy" in shown.output) == (0, True)
    (tmp_path / "strict.toml").write_text('code = "deny"\n')
    found = CliRunner().invoke(main, ["inspect", str(made), "--policy", "strict.toml", "--json"])
    document = json.loads(found.output)
    assert (found.exit_code, document["allowed"], document["policy"]) == (5, False, "strict.toml")
    assert document["against"] == [
        {"what": "code/doubling_functions.py: code of its own", "rule": "code", "allow": 'code = "allow"'}
    ]
    printed = CliRunner().invoke(main, ["inspect", "--policy", "default"])
    assert (printed.exit_code, printed.output) == (0, as_toml(DEFAULT) + "\n")
    refused = CliRunner().invoke(main, ["verify", str(made), "--policy", "strict.toml"])
    assert refused.exit_code == 5


def test_names_of_a_package_cannot_write_to_the_terminal(made: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content.update(name="\x1b[2Jgone", version="\u202e1")

    folder = forge(made, tmp_path / "package", manifest(change))
    (folder / "\x1b[31mred").write_text("")
    shown = CliRunner().invoke(main, ["inspect", str(folder)])
    assert shown.exit_code == 5
    assert not {letter for letter in shown.output if not letter.isprintable()} - {"\n"}
