"""What is not Python: magics that IPython does not know, programs that are not installed."""

from __future__ import annotations

import difflib
import re

from nb2prod.core.result import Explanation
from nb2prod.language.failures.evidence import Evidence

# magic: (the extension that brings it, its package on PyPI or empty for one of IPython's own)
EXTENSIONS: dict[str, tuple[str, str]] = {
    "autoreload": ("autoreload", ""),
    "cython": ("Cython", "cython"),
    "sql": ("sql", "jupysql"),
    "memit": ("memory_profiler", "memory_profiler"),
    "mprun": ("memory_profiler", "memory_profiler"),
    "lprun": ("line_profiler", "line_profiler"),
    "R": ("rpy2.ipython", "rpy2"),
    "watermark": ("watermark", "watermark"),
    "tensorboard": ("tensorboard", "tensorboard"),
    "bigquery": ("google.cloud.bigquery", "google-cloud-bigquery"),
    "ipytest": ("ipytest", "ipytest"),
    "snakeviz": ("snakeviz", "snakeviz"),
    "dot": ("gvmagic", ""),
    "black": ("nb_black", "nb_black"),
}
# magics that only a hosted notebook has
HOSTED: dict[str, str] = {
    "tensorflow_version": "Colab",
    "shell": "Colab",
    "fs": "Databricks",
    "md": "Databricks",
    "sh": "Databricks",
    "scala": "Databricks",
    "spark": "Sparkmagic",
    "configure": "Sparkmagic",
    "local": "Sparkmagic",
}
KNOWN = str.split(
    "alias alias_magic autoawait autocall automagic autosave bash bookmark capture cat cd clear code_wrap "
    "colors conda config cp debug dhist dirs doctest_mode ed edit env file gui hist history HTML html "
    "javascript js killbgscripts latex ldir less lf lk ll load load_ext loadpy logoff logon logstart logstate "
    "logstop ls lsmagic lx macro magic mamba man markdown matplotlib micromamba mkdir mv notebook page "
    "pastebin pdb pdef pdoc perl pfile pinfo pinfo2 pip popd pprint precision prun psearch psource pushd pwd "
    "pycat pylab pypy python python2 python3 quickref recall rehashx reload_ext rep rerun reset "
    "reset_selective rm rmdir ruby run save sc script set_env sh store svg SVG sx system tb time timeit "
    "unalias unload_ext uv who who_ls whos writefile xdel xmode"
)
# program: what brings it
PROGRAMS: dict[str, str] = {
    "dot": "Graphviz (apt install graphviz, brew install graphviz)",
    "wget": "wget (apt install wget, brew install wget)",
    "curl": "curl (apt install curl)",
    "unzip": "unzip (apt install unzip)",
    "git": "git (apt install git)",
    "ffmpeg": "ffmpeg (apt install ffmpeg, brew install ffmpeg)",
    "java": "a Java runtime (apt install default-jre)",
    "tesseract": "Tesseract (apt install tesseract-ocr)",
    "pandoc": "Pandoc (apt install pandoc)",
    "latex": "a LaTeX distribution (apt install texlive)",
    "xelatex": "a LaTeX distribution (apt install texlive-xetex)",
    "R": "R (apt install r-base)",
    "make": "make (apt install make)",
    "gcc": "a C compiler (apt install build-essential)",
    "g++": "a C++ compiler (apt install build-essential)",
    "kaggle": "Kaggle's program (pip install kaggle)",
    "aws": "the AWS CLI (pip install awscli)",
    "gsutil": "Google Cloud's CLI",
    "nvidia-smi": "NVIDIA's driver, and a GPU",
    "tree": "tree (apt install tree)",
    "chromedriver": "ChromeDriver (apt install chromium-driver)",
}
_UNKNOWN_MAGIC = re.compile(r"(?:(?:Line|Cell) magic(?: function)?) `(?P<magic>%%?(?P<name>[^`]+))` not found")
_ERRNO = re.compile(r"\[Errno 2\] No such file or directory: '(?P<program>[^']+)'$")


def explained(evidence: Evidence) -> Explanation | None:
    return _magic(evidence) if evidence.error == "UsageError" else _program(evidence)


def _magic(evidence: Evidence) -> Explanation | None:
    match = _UNKNOWN_MAGIC.search(evidence.said)
    if match is None:
        return None
    magic, name = match["magic"], match["name"]
    if name in EXTENSIONS:
        extension, package = EXTENSIONS[name]
        what = f"the magic {magic} comes with the extension {extension}, which is not loaded"
        install = f"{evidence.machine.pip} {package}, and " if package else ""
        return Explanation("unknown-magic", what, f"{install}put %load_ext {extension} into a cell above")
    if name in HOSTED:
        what = f"the magic {magic} is one of {HOSTED[name]}'s notebooks, and there is none of that name here"
        return Explanation("unknown-magic", what, "tag the cell skip, or take the line off")
    near = difflib.get_close_matches(name, KNOWN, 1, 0.75)
    meant = f"write {magic.removesuffix(name)}{near[0]}" if near else "load the extension that has it (%load_ext NAME)"
    return Explanation("unknown-magic", f"IPython has no magic {magic}", f"{meant}, or take the line off")


def _program(evidence: Evidence) -> Explanation | None:
    name = _missing_program(evidence)
    if not name:
        return None
    short = name.rsplit("/", 1)[-1]
    what = f"the program {name}, which the cell calls, is not installed or not on the PATH of the kernel"
    return Explanation("missing-command", what, f"install {PROGRAMS.get(short, short)}")


def _missing_program(evidence: Evidence) -> str:
    errno = _ERRNO.search(evidence.said)
    started = re.search(r"^File [^\n]*subprocess\.py", evidence.trace, re.MULTILINE)
    if errno and started and evidence.error == "FileNotFoundError" and "_execute_child" in evidence.trace:
        return errno["program"]
    shell = re.search(r"Command '(?P<command>.+)' returned non-zero exit status 127\.", evidence.said, re.DOTALL)
    if shell and evidence.error == "CalledProcessError":
        return _first_word(shell["command"])
    graphviz = re.search(r"failed to execute (?:PosixPath\(')?\[?'?(\w+)", evidence.said)
    return graphviz[1] if graphviz and evidence.error == "ExecutableNotFound" else ""


def _first_word(command: str) -> str:
    """The program of a command of one line; nothing is said of a script, where any line may be the one."""
    text = command.removeprefix("b'").removeprefix('b"').rstrip("'\"").replace("\\n", "\n").strip()
    simple = re.fullmatch(r"(?P<program>[\w./+-]+)(?: [^\n;|&]*)?", text)
    return simple["program"] if simple else ""
