"""Joins the stages, one call each. The only module that names plug-ins; the front doors call nothing else."""

from nb2prod.api._pipelines import findings, load_pipeline, told
from nb2prod.api.caching import cached, explain_cache, prune_cache
from nb2prod.api.checking import check, check_all, explain, fix, report
from nb2prod.api.handing_over import export, package, serve
from nb2prod.api.looking import inspect, suggest
from nb2prod.api.mapping import map, resume_map
from nb2prod.api.proving import equality_report, verify, verify_notebook
from nb2prod.api.running import load_result, run, test

__all__ = [
    "cached",
    "check",
    "check_all",
    "equality_report",
    "explain",
    "explain_cache",
    "export",
    "findings",
    "fix",
    "inspect",
    "load_pipeline",
    "load_result",
    "map",
    "package",
    "prune_cache",
    "report",
    "resume_map",
    "run",
    "serve",
    "suggest",
    "test",
    "told",
    "verify",
    "verify_notebook",
]
