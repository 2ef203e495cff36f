"""What a step's cells ask of the place where it runs: Kale's `image:`, `limit:`, `secret:`, `label:`, `annotation:`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nb2prod.core.pipeline import Pipeline, Step


def image(pipeline: Pipeline, step: Step) -> str:
    """The image that the step asks for; empty for none."""
    return next(reversed(_said(pipeline, step, "image")), "")


def secrets(pipeline: Pipeline, step: Step) -> tuple[tuple[str, str, str], ...]:
    """(secret, key, environment variable)."""
    found = [text.split(":") for text in _said(pipeline, step, "secret")]
    return tuple((parts[0], parts[1], parts[2]) for parts in found if len(parts) == 3)


def kubeflow(
    pipeline: Pipeline, step: Step, task: str, own_secrets: Iterable[tuple[str, str, str]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(statements that set it on a task of kfp, words that tell a person)."""
    lines, told = [], []
    if step.retries:
        lines.append(f"{task}.set_retry(num_retries={step.retries})")
        told.append(f"{step.retries} retries")
    if not step.cache:
        lines.append(f"{task}.set_caching_options(False)")
        told.append("never from the cache")
    for resource, value in _pairs(_said(pipeline, step, "limit")):
        lines += _limit(task, resource, value)
        told.append(f"{resource} {value}")
    for secret, key, variable in (*secrets(pipeline, step), *own_secrets):
        keys = f"{{{key!r}: {variable!r}}}"
        lines.append(f"kubernetes.use_secret_as_env({task}, secret_name={secret!r}, secret_key_to_env={keys})")
        told.append(f"${variable} from the secret {secret}")
    for word in ("label", "annotation"):
        for key, value in _pairs(_said(pipeline, step, word)):
            lines.append(f"kubernetes.add_pod_{word}({task}, {word}_key={key!r}, {word}_value={value!r})")
    return tuple(lines), tuple(told)


def told(pipeline: Pipeline, step: Step) -> list[str]:
    """What the step asks of a cluster, for a person."""
    asked = [f"the image {text}" for text in _said(pipeline, step, "image")]
    asked += [f"{resource} {value}" for resource, value in _pairs(_said(pipeline, step, "limit"))]
    return asked + [f"${variable} from the secret {secret}" for secret, _, variable in secrets(pipeline, step)]


def _limit(task: str, resource: str, value: str) -> Sequence[str]:
    if resource in ("cpu", "memory"):
        return [f"{task}.set_{resource}_limit({value!r})"]
    return [f"{task}.set_accelerator_type({resource!r})", f"{task}.set_accelerator_limit({value!r})"]


def _said(pipeline: Pipeline, step: Step, word: str) -> list[str]:
    roles = [pipeline.roles[index] for index in step.cells]
    found = [text for role in roles if role is not None for text in role.options.get(word, ())]
    return list(dict.fromkeys(found))


def _pairs(texts: Iterable[str]) -> Iterable[tuple[str, str]]:
    """`nvidia.com/gpu:2` and the like: the last colon parts."""
    for text in texts:
        key, colon, value = text.rpartition(":")
        if colon:
            yield key, value
