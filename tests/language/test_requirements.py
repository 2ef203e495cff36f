"""What install lines of a notebook declare, without running one."""

from __future__ import annotations

from pathlib import Path

import pytest

from nb2prod.core.notebook import Cell, Notebook
from nb2prod.language.requirements import as_file, declared, of_command
from nb2prod.stages.compile import compile as compile_notebook

COMMANDS: list[tuple[str, list[str]]] = [
    ("pip install pandas", ["pandas"]),
    (
        'pip install -q "pandas>=2" scikit-learn==1.5 -r requirements.txt',
        ["pandas>=2", "scikit-learn==1.5", "-r requirements.txt"],
    ),
    ("pip install pandas>=2", ["pandas>=2"]),
    ("pip3 install --upgrade --no-cache-dir numpy", ["numpy"]),
    ("python -m pip install numpy", ["numpy"]),
    ("python3.11 -m pip install numpy", ["numpy"]),
    ("{sys.executable} -m pip install numpy", ["numpy"]),
    ("$sys.executable -m pip install numpy", ["numpy"]),
    ("sudo pip install numpy", ["numpy"]),
    ("/opt/env/bin/pip install numpy", ["numpy"]),
    ("uv pip install numpy", ["numpy"]),
    ("pip --quiet install numpy", ["numpy"]),
    ("pip install 'mlflow[extras]>=3,<4' ", ["mlflow[extras]<4,>=3"]),
    ("pip install \"importlib-metadata; python_version < '3.8'\"", ['importlib-metadata; python_version < "3.8"']),
    ("pip install --index-url https://pypi.example.org/simple numpy", ["numpy"]),
    ("pip install -i https://pypi.example.org/simple -c limits.txt numpy", ["numpy"]),
    ("pip install --extra-index-url=https://x.example.org numpy", ["numpy"]),
    ("pip install --requirement=more.txt", ["-r more.txt"]),
    ("pip install -e .", ["-e ."]),
    ("pip install git+https://github.com/owner/project", ["git+https://github.com/owner/project"]),
    ("pip install git+https://token@github.com/owner/project", ["git+https://***@github.com/owner/project"]),
    ("pip install ./own-1.0-py3-none-any.whl", ["./own-1.0-py3-none-any.whl"]),
    ("pip install numpy > /dev/null", ["numpy"]),
    ("pip install numpy &> log.txt", ["numpy"]),
    ("pip install numpy 2>&1 | tail -1", ["numpy"]),
    ("pip install numpy && pip install pandas; pip install scipy", ["numpy", "pandas", "scipy"]),
    ("pip install numpy  # for arrays", ["numpy"]),
    ("pip uninstall -y numpy", []),
    ("pip freeze", []),
    ("pip list | grep install", []),
    ("echo pip install numpy", []),
    ("apt-get install graphviz", []),
    ("npm install left", []),
]


@pytest.mark.parametrize(("command", "expected"), COMMANDS, ids=[row[0] for row in COMMANDS])
def test_an_install_command_declares_its_requirements(command: str, expected: list[str]) -> None:
    found = of_command(command)
    assert [wanted.requirement for wanted in found] == expected
    assert [wanted.problem for wanted in found] == [""] * len(expected)


def test_condas_requirements_are_condas() -> None:
    (found,) = of_command("conda install -c conda-forge -y -n base xgboost=1.5")
    assert (found.manager, found.requirement, found.project) == ("conda", "xgboost=1.5", "xgboost")


def test_what_is_no_requirement_says_why() -> None:
    kernels, wrong = of_command("pip install {name} pandas==")
    assert (kernels.requirement, kernels.problem) == ("{name}", "the kernel alone knows what it stands for")
    assert wrong.requirement == "pandas=="
    assert wrong.problem
    assert (kernels.project, wrong.project) == ("", "")


def test_a_notebooks_requirements_have_their_cell_and_line_and_stand_once() -> None:
    sources = [
        ("", "import sys\n!{sys.executable} -m pip install -q numpy"),
        ("imports", "%pip install 'pandas>=2' numpy\n%conda install xgboost"),
        ("skip", "!pip install never"),
        ("step:a", "%%bash\ncd x\npip install scipy"),
        ("", "%%capture\n!pip install rich"),
        ("", "print('!pip install text')"),
    ]
    cells = tuple(Cell(index, "code", source, tuple(tags.split())) for index, (tags, source) in enumerate(sources))
    found = declared(compile_notebook(Notebook(Path("nb.ipynb"), cells)))
    assert [(wanted.requirement, wanted.cell, wanted.line) for wanted in found] == [
        ("numpy", 0, 2),
        ("pandas>=2", 1, 1),
        ("xgboost", 1, 2),
        ("scipy", 3, 3),
        ("rich", 4, 2),
    ]
    assert as_file(found) == (
        "numpy  # cell 0\npandas>=2  # cell 1\n# conda: xgboost  # cell 1\nscipy  # cell 3\nrich  # cell 4\n"
    )
