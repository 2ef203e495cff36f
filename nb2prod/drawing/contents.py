"""What is in a package, for a terminal: whether it is whole, what it may do, what it would load, and what stands
against it. Every text of the package is shown with its control characters made visible.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from nb2prod.core.package_contents import NameSeen, PackageContents
from nb2prod.core.policy import Breach, Policy, size_of
from nb2prod.drawing.words import counted, printable

MAY = {
    "code": "run code of its own",
    "pickle": "unpickle, which runs what the file says",
    "native": "run code that is no text",
    "network": "use the network",
    "files": "read or write files",
    "processes": "start processes",
}
_NAMES_SHOWN = 40


def as_text(
    contents: PackageContents, policy: Policy, against: Sequence[Breach], *, width: int = 100, color: bool = False
) -> str:
    from rich.console import Console

    page = io.StringIO()
    console = Console(file=page, width=width, force_terminal=color, no_color=not color, highlight=False)
    console.print(_head(contents))
    for title, part in _parts(contents):
        console.print(f"\n[bold]{title}[/bold]")
        console.print(part)
    console.print()
    console.print(_verdict(contents, policy, against))
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def _head(contents: PackageContents) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_row(Text(printable(contents.name), style="bold"), Text(printable(contents.version)))
    table.add_row(Text("digest", style="dim"), _digest(contents))
    table.add_row(Text("signature", style="dim"), Text("signed" if contents.is_signed else "none"))
    table.add_row(Text("model", style="dim"), Text(_model(contents)))
    table.add_row(Text("files", style="dim"), _whole(contents))
    table.add_row(Text("may", style="dim"), _may(contents))
    return table


def _digest(contents: PackageContents) -> Any:
    from rich.text import Text

    return Text(f"sha256:{contents.digest}") if contents.whole else Text("none that holds", style="red")


def _whole(contents: PackageContents) -> Any:
    from rich.text import Text

    size = f"{size_of(contents.size)} in {counted(len(contents.files), 'file')}, "
    if contents.whole:
        return Text(size).append("each as it was made", style="green")
    what = "not as they were made" if contents.is_package else "no package: there are no checksums"
    return Text(size).append(what, style="red")


def _model(contents: PackageContents) -> str:
    loader = printable(contents.loader) or "no loader"
    return f"{', '.join(map(printable, contents.formats)) or 'of no format'}, through {loader}"


def _may(contents: PackageContents) -> Any:
    from rich.text import Text

    kinds = dict.fromkeys(permission.kind for permission in contents.permissions)
    if not kinds:
        return Text("load what is listed below and do nothing else", style="green")
    return Text(" · ".join(said for kind, said in MAY.items() if kind in kinds), style="yellow")


def _parts(contents: PackageContents) -> list[tuple[str, Any]]:
    parts = [("what shows it", _permissions(contents))] if contents.permissions else []
    parts += [("code", _code(contents))] if contents.code else []
    parts += [("types and functions", _names(contents.names))] if contents.names else []
    return [*parts, ("files", _files(contents))]


def _grid(rows: Sequence[tuple[str, ...]], styles: Sequence[str]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for row in rows:
        table.add_row(*(Text(f"  {cell}" if not i else cell, style=styles[i]) for i, cell in enumerate(row)))
    return table


def _permissions(contents: PackageContents) -> Any:
    rows = [(printable(one.where), printable(one.what), MAY[one.kind]) for one in contents.permissions]
    return _grid(rows, ("cyan", "", "dim"))


def _code(contents: PackageContents) -> Any:
    """nb2prod's own files as one line: there are many of them in `service/`."""
    rows = [
        (printable(code.path), f"imports {', '.join(map(printable, code.imports)) or 'nothing'}")
        for code in contents.code
        if not code.own
    ]
    own = [code.path for code in contents.code if code.own]
    rows += [(counted(len(own), "file"), "as nb2prod itself has them")] if own else []
    return _grid(rows, ("cyan", ""))


def _names(names: Sequence[NameSeen]) -> Any:
    """By where they are from; what is called while the file is loaded is marked."""
    origins: dict[str, dict[str, bool]] = {}
    for seen in names:
        listed = origins.setdefault(seen.origin, {})
        listed[seen.name] = listed.get(seen.name, False) or seen.use == "called"
    rows = [(printable(origin), _listed(listed)) for origin, listed in sorted(origins.items())]
    return _grid(rows, ("cyan", ""))


def _listed(names: dict[str, bool]) -> str:
    shown = [f"{printable(name)}()" if called else printable(name) for name, called in names.items()]
    more = f" and {len(shown) - _NAMES_SHOWN} more" if len(shown) > _NAMES_SHOWN else ""
    return ", ".join(shown[:_NAMES_SHOWN]) + more


def _files(contents: PackageContents) -> Any:
    """Folders of nb2prod's own files are one line each."""
    own = {code.path for code in contents.code if code.own}
    homes = {path.partition("/")[0] for path in own if "/" in path} - _homes_of_others(contents, own)
    rows = [
        (printable(file.path), size_of(file.size), file.role)
        for file in contents.files
        if file.path.partition("/")[0] not in homes
    ]
    for home in sorted(homes):
        held = [file for file in contents.files if file.path.startswith(f"{home}/")]
        said = f"{held[0].role}, as nb2prod itself has it"
        rows.append((f"{printable(home)}/ ({counted(len(held), 'file')})", size_of(sum(f.size for f in held)), said))
    return _grid(sorted(rows), ("cyan", "", "dim"))


def _homes_of_others(contents: PackageContents, own: set[str]) -> set[str]:
    """The folders that hold code which is not nb2prod's own."""
    return {code.path.partition("/")[0] for code in contents.code if code.path not in own}


def _verdict(contents: PackageContents, policy: Policy, against: Sequence[Breach]) -> Any:
    from rich.text import Text

    judge = f"the policy {policy.place}" if policy.place else "nb2prod's own policy"
    if contents.problems:
        listed = "".join(f"\n  ✗ {problem}" for problem in contents.problems)
        return Text(f"refused: it is no package as nb2prod makes them{listed}", style="red")
    if against:
        listed = "".join(f"\n  ✗ {one.what}\n      {one.rule}: to allow it, {one.allow}" for one in against)
        return Text(f"refused by {judge}{listed}", style="red")
    return Text(f"allowed by {judge}; nothing of it was loaded", style="green")
