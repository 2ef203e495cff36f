"""Joins the stages, one call each. The only module that names plug-ins; the front doors call nothing else."""

from nb2prod.api._pipelines import findings, load_pipeline, told
from nb2prod.api.caching import cached, explain_cache, prune_cache
from nb2prod.api.checking import check, check_all, explain, fix, report
from nb2prod.api.handing_over import export, package, serve
from nb2prod.api.looking import inspect, suggest
from nb2prod.api.mapping import map, resume_map
from nb2prod.api.proving import (
    certificate_report,
    check_client,
    equality_report,
    examine,
    examine_client,
    verify,
    verify_notebook,
)
from nb2prod.api.running import load_result, run, test
from nb2prod.api.scoring import score
from nb2prod.api.signing import sign, verify_signature
from nb2prod.api.syncing import sync, sync_update
from nb2prod.api.trusting import inspect_package, package_folder, package_report, policy_text

__all__ = [
    "cached",
    "certificate_report",
    "check",
    "check_all",
    "check_client",
    "equality_report",
    "examine",
    "examine_client",
    "explain",
    "explain_cache",
    "export",
    "findings",
    "fix",
    "inspect",
    "inspect_package",
    "load_pipeline",
    "load_result",
    "map",
    "package",
    "package_folder",
    "package_report",
    "policy_text",
    "prune_cache",
    "report",
    "resume_map",
    "run",
    "score",
    "serve",
    "sign",
    "suggest",
    "sync",
    "sync_update",
    "test",
    "told",
    "verify",
    "verify_notebook",
    "verify_signature",
]
