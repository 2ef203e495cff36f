"""`nb2prod run`: the notebook headless."""

from __future__ import annotations

from pathlib import Path

import click

from nb2prod.cli._words import (
    PATH,
    as_json,
    from_file,
    leave,
    parameters,
    print_json,
    scheduler,
    store,
    texts,
    trackers,
)


@click.command()
@click.argument("notebook", type=PATH)
@parameters
@click.option("--engine", default="papermill", show_default=True, help="How it runs.")
@click.option("--executor", default="serial", show_default=True, help="Where the steps of engine `steps` run.")
@scheduler
@store
@click.option("--cache/--no-cache", default=True, help="Take steps that would do the same again from the store.")
@click.option("--checkpoint/--no-checkpoint", default=True, help="Keep a resume point at each step's end.")
@click.option("--resume", is_flag=False, flag_value="last", metavar="[RUN]", help="Go on with a run.  [the last]")
@click.option("--from", "from_step", metavar="STEP", help="A new run from there, with what the last run did before.")
@click.option("--allow-shell", is_flag=True, help="Let isolated steps run their shell lines.")
@click.option("--kernel", help="Another kernel than the notebook names.")
@click.option("-o", "--output", type=PATH, help="The executed notebook.  [default: in the run's folder]")
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Where runs are kept.")
@click.option("--experiment", default="", help="MLflow experiment.  [default: the notebook's name]")
@click.option("--timeout", type=click.FloatRange(min=0.01), help="Seconds that one cell may take.")
@click.option("--time-limit", type=click.FloatRange(min=0.01), help="Seconds that the whole run may take.")
@click.option("--only-steps", is_flag=True, help="Leave out exploration cells.")
@click.option("--track/--no-track", default=True, help="Log to MLflow.")
@as_json
def run(
    notebook: Path,
    given: tuple[tuple[str, str], ...],
    file: Path | None,
    engine: str,
    executor: str,
    scheduler: str,
    store: str,
    cache: bool,
    checkpoint: bool,
    resume: str | None,
    from_step: str | None,
    allow_shell: bool,
    kernel: str | None,
    output: Path | None,
    runs: Path,
    experiment: str,
    timeout: float | None,
    time_limit: float | None,
    only_steps: bool,
    track: bool,
    as_json: bool,
) -> None:
    """Run the notebook headless, with typed parameters, tests and MLflow."""
    from nb2prod import api

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
        time_limit=time_limit,
        only_steps=only_steps,
        store=store if cache and engine == "steps" else None,
        checkpoints=store if checkpoint else None,
        resume=resume,
        from_step=from_step,
        options=_told(executor, scheduler, store),
    )
    if as_json:
        from nb2prod.stages import documents

        print_json(documents.ran(result))
    leave(result)


def _told(executor: str, scheduler: str, store: str) -> dict[str, str]:
    """On a cluster values go through the store, also when no step is taken from it."""
    told = {"scheduler": scheduler, "store": store if executor == "dask" else ""}
    return {name: value for name, value in told.items() if value}
