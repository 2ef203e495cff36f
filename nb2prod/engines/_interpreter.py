"""The Python of a kernel, found without loading jupyter_client: a run in which nothing runs needs to know no more."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from nb2prod.core.pipeline import Plan
from nb2prod.engines._prepared import kernel_of

OWN = ("", "python", "python3", f"python3.{sys.version_info[1]}")


def kernel_and_python(plan: Plan) -> tuple[str, str]:
    """(the kernel's name, its interpreter). Raises StoreError with the kernels there are when it is not installed."""
    wanted = plan.kernel or plan.pipeline.notebook.kernel or "python3"
    command = _command(wanted)
    if command is None:
        from nb2prod.engines._step_processes import interpreter_of

        kernel = kernel_of(plan)
        return kernel, interpreter_of(kernel)
    # what Jupyter does: a bare `python` means the one that it runs with
    return wanted, sys.executable if command in OWN else command


def _command(kernel: str) -> str | None:
    """The first word of the kernel's command, from the first folder that has it; None where Jupyter has to look."""
    from jupyter_core.paths import jupyter_path

    for folder in jupyter_path("kernels"):
        file = Path(folder) / kernel / "kernel.json"
        try:
            command = json.loads(file.read_bytes())["argv"]
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return str(command[0]) if isinstance(command, list) and command else None
    return None
