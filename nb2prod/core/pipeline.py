"""A pipeline: what a notebook means once its cells are compiled into steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nb2prod.core.finding import Finding
from nb2prod.core.notebook import Notebook

RoleKind = Literal["parameters", "imports", "functions", "setup", "step", "test", "skip", "exploration"]
EdgeKind = Literal["proven", "observed", "assumed"]
PARAMETERS = "parameters"  # the source of an edge that comes from a parameter rather than from a step
RANDOM = "<random>"  # stands for all global random streams, as if they were one value that steps change
SHARED: tuple[RoleKind, ...] = ("imports", "functions", "setup")  # roles whose cells run before every step


@dataclass(frozen=True, slots=True)
class Role:
    """What a code cell is for, from its tags or its magic.

    `name` is the step's name for a step and for a test of a step, else empty. `line_offset` is the number of lines
    that the magic takes at the top of the cell; `body` is the source without them.
    """

    kind: RoleKind
    name: str = ""
    body: str = ""
    line_offset: int = 0
    after: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    predicts: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()
    retries: int = 0
    retry_on: tuple[str, ...] = ()
    timeout: float | None = None
    cache: bool = True
    reads: tuple[str, ...] = ()
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class ParameterType:
    """A declared type as a value: `kind` with its arguments.

    kind: int float str bool none any path date datetime list dict tuple literal enum union.
    `arguments` are item types (list, dict: key and value, tuple: one an item, or one and `variadic`), or a union's
    members; `choices` are a Literal's values or an Enum's (name, value) pairs; `name` is what a person reads.
    """

    kind: str
    name: str
    arguments: tuple[ParameterType, ...] = ()
    choices: tuple[Any, ...] = ()
    variadic: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    """A name that the parameters cell binds.

    `default` is its value when that is a literal; `expression` its source text. `derived_from` names the parameters
    that the expression reads: such a default is computed again when one of them is given. A `secret` never reaches
    the executed notebook, a tracker, a log or an error.
    """

    name: str
    type: ParameterType
    default: Any
    expression: str
    cell: int
    line: int
    help: str = ""
    required: bool = False
    secret: bool = False
    derived_from: tuple[str, ...] = ()

    @property
    def computed(self) -> bool:
        """Whether the default is an expression whose value the notebook's own run gives."""
        return not self.required and self.default is None and self.expression != "None"


@dataclass(frozen=True, slots=True)
class Edge:
    """One name that a step reads, with the version it reads: `df@c3` is the `df` bound in cell 3.

    An edge named RANDOM says where the stream was last seeded or drawn from: a step, or the role of a shared cell.
    """

    name: str
    version: str
    source: str
    kind: EdgeKind
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Binding:
    """One time that a cell gives a name a value, or may change the value in place (`changed`).

    `source` is a step's name, or the role of a cell that is no step (`parameters`, `imports`, `functions`, `setup`,
    `exploration`). `certain` is False in a branch or loop that may not run. `resource` says what the value is, or
    holds, that cannot leave its process (`open file`).
    """

    name: str
    cell: int
    line: int
    source: str
    kind: Literal["value", "import", "function", "class"] = "value"
    changed: bool = False
    certain: bool = True
    resource: str = ""

    @property
    def version(self) -> str:
        return f"{self.name}@c{self.cell}"


@dataclass(frozen=True, slots=True)
class Read:
    """One name that a cell reads, with the binding that it sees (None: nothing binds it before).

    `through` names the function whose body reads it, when the cell reads it by using that function. `surviving` is
    what the name means when exploration cells are left out, as they are in isolated steps. `alias` names what the cell
    does read, when the name itself is only changed with it, as one object.
    """

    name: str
    cell: int
    line: int
    source: str
    binding: Binding | None
    surviving: Binding | None = None
    through: str = ""
    alias: str = ""


@dataclass(frozen=True, slots=True)
class NotebookTest:
    """One test function (or one cell of bare asserts) of a test cell. `step` is None for a test of the pipeline."""

    id: str
    name: str
    step: str | None
    cell: int
    line: int


@dataclass(frozen=True, slots=True)
class Step:
    """Cells that belong together, with what they read from others and what others read from them.

    `retries` is how often it is tried again after an error that `retry_on` names (or any, when that is empty).
    `predicts` says how its model is asked: by a function of the notebook, or by methods of the model.
    `test_inputs` are names that only its tests read, from other steps (`test_edges` says which) or from parameters.
    """

    name: str
    cells: tuple[int, ...]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    edges: tuple[Edge, ...] = ()
    metrics: tuple[str, ...] = ()
    model: str | None = None
    example: str | None = None
    predicts: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()
    tests: tuple[NotebookTest, ...] = ()
    retries: int = 0
    retry_on: tuple[str, ...] = ()
    timeout: float | None = None
    cache: bool = True
    reads: tuple[str, ...] = ()
    test_inputs: tuple[str, ...] = ()
    test_edges: tuple[Edge, ...] = ()

    @property
    def upstream(self) -> tuple[str, ...]:
        """Names of the steps that must run first: by data, then by `after:`."""
        sources = [edge.source for edge in self.edges if edge.source not in (PARAMETERS, *SHARED)]
        return tuple(dict.fromkeys((*sources, *self.after)))


@dataclass(frozen=True, slots=True)
class HoistedModule:
    """The notebook's functions and classes as an importable module, so that pickles and models load elsewhere.

    `names` are the functions and classes that it defines; `unresolved` names what they read and the module cannot
    give, each with the first cell that binds it or None; `imports` are the top-level packages that it imports.
    """

    name: str
    source: str
    names: tuple[str, ...] = ()
    unresolved: tuple[tuple[str, int | None], ...] = ()
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """`roles` has one entry per cell of the notebook, None for a cell that is not code.

    `stars` are the names that modules give to `import *`, as far as they were asked.
    """

    notebook: Notebook
    roles: tuple[Role | None, ...]
    parameters: tuple[Parameter, ...]
    steps: tuple[Step, ...]
    tests: tuple[NotebookTest, ...]
    module: HoistedModule
    bindings: tuple[Binding, ...] = ()
    reads: tuple[Read, ...] = ()
    findings: tuple[Finding, ...] = ()
    stars: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)

    @property
    def all_tests(self) -> tuple[NotebookTest, ...]:
        """Every test, in the order of the notebook."""
        found = [*self.tests, *(test for step in self.steps for test in step.tests)]
        return tuple(sorted(found, key=lambda test: (test.cell, test.line)))

    @property
    def model(self) -> tuple[str, str] | None:
        """(step, name) of the object to package, the last one tagged; None when no cell is tagged `model:`."""
        found = [(step.name, step.model) for step in self.steps if step.model]
        return found[-1] if found else None

    @property
    def example(self) -> tuple[str, str] | None:
        """(step, name) of the example data, the last one tagged."""
        found = [(step.name, step.example) for step in self.steps if step.example]
        return found[-1] if found else None


@dataclass(frozen=True, slots=True)
class Plan:
    """A pipeline about to run: all that an engine needs to know, decided before anything starts.

    `given` are the parameters that the caller set; `parameters` all of them with their values (a derived default
    that is to be computed in the kernel is absent). `directory` is the run's folder, `output` where the executed
    notebook goes. `timeout` are the seconds that a cell may take, `time_limit` those of the whole run. `options` are
    the engine's own.
    """

    run: str
    pipeline: Pipeline
    directory: str
    output: str
    engine: str
    executor: str = "serial"
    given: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    kernel: str | None = None
    experiment: str = ""
    timeout: float | None = None
    time_limit: float | None = None
    only_steps: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
