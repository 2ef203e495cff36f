"""`nb2prod run`: the notebook headless."""

from __future__ import annotations

from pathlib import Path

import click

from nb2prod.cli._words import PATH, as_json, from_file, leave, parameters, print_json, texts, trackers


@click.command()
@click.argument("notebook", type=PATH)
@parameters
@click.option("--engine", default="papermill", show_default=True, help="How it runs.")
@click.option("--executor", default="serial", show_default=True, help="Where the steps of engine `steps` run.")
@click.option("--allow-shell", is_flag=True, help="Let isolated steps run their shell lines.")
@click.option("--kernel", help="Another kernel than the notebook names.")
@click.option("-o", "--output", type=PATH, help="The executed notebook.  [default: in the run's folder]")
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Where runs are kept.")
@click.option("--experiment", default="", help="MLflow experiment.  [default: the notebook's name]")
@click.option("--timeout", type=click.FloatRange(min=0.01), help="Seconds that one cell may take.")
@click.option("--only-steps", is_flag=True, help="Leave out exploration cells.")
@click.option("--track/--no-track", default=True, help="Log to MLflow.")
@as_json
def run(
    notebook: Path,
    given: tuple[tuple[str, str], ...],
    file: Path | None,
    engine: str,
    executor: str,
    allow_shell: bool,
    kernel: str | None,
    output: Path | None,
    runs: Path,
    experiment: str,
    timeout: float | None,
    only_steps: bool,
    track: bool,
    as_json: bool,
) -> None:
    """Run the notebook headless, with typed parameters, tests and MLflow."""
    from nb2prod import api
    from nb2prod.stages import documents

    result = api.run(
        notebook,
        from_file(file),
        texts=texts(given),
        engine=engine,
        executor=executor,
        allow_shell=allow_shell,
        trackers=trackers(track),
        kernel=kernel,
        output=output,
        runs=runs,
        experiment=experiment,
        timeout=timeout,
        only_steps=only_steps,
    )
    if as_json:
        print_json(documents.ran(result))
    leave(result)
