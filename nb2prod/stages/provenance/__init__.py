"""Where a package comes from and what is in it, said so that others can check it.

steady           the same notebook, data and libraries give the same bytes: what the writers of models put in of
                 their own (moments, random names, addresses in memory) is taken out
origin           what a package does not say of itself, because it would not be the same bytes: when, and in which run
lock             the exact versions that it needs, with hashes where they are known: `requirements.lock`
licences, sbom   whose code that is and under which terms: `licences.json`, `sbom.json` (CycloneDX)
service_folder   the service, and a Dockerfile that starts from the lock
signing          a signature by a key of the maker's own, over the checksums
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def provable(lock: str, key: Path | str | None) -> dict[str, Any]:
    """What `package` is told of lock and key, refused before anything is run when it cannot be had."""
    from nb2prod.stages.provenance import lock as locking
    from nb2prod.stages.provenance import signing

    locking.refuse_way(lock)
    if key is not None:
        signing.signer(Path(key))
    return {"lock": lock, "key": None if key is None else Path(key)}
