"""No network, or a server that does not answer as the notebook expects: the host, and how to do without."""

from __future__ import annotations

import re

from nb2prod.core.result import Explanation
from nb2prod.language.failures.evidence import Evidence

_ERRORS = frozenset(
    str.split(
        "URLError ConnectionError ConnectTimeout ReadTimeout ConnectTimeoutError ReadTimeoutError Timeout "
        "TimeoutError timeout SSLError SSLCertVerificationError ConnectionRefusedError ConnectionResetError "
        "ConnectionAbortedError gaierror herror NewConnectionError NameResolutionError MaxRetryError ProxyError "
        "RemoteDisconnected ConnectError ClientConnectorError ClientConnectorDNSError EndpointConnectionError "
        "LocalEntryNotFoundError OfflineModeIsEnabled RemoteProtocolError TransportError"
    )
)
_BROKEN = frozenset(str.split("ContentTooShortError IncompleteRead ChunkedEncodingError ProtocolError"))
_CODE = re.compile(r"(?:HTTP Error |^|\()(?P<code>[45]\d\d)\b(?: Client Error| Server Error|[: ])")
_HOSTS = (
    re.compile(r"host='([\w.-]+)'"),
    re.compile(r"Cannot connect to host ([\w.-]+)"),
    re.compile(r"(?:https?|ftp)://(?:[^/\s'\"@]*@)?([\w.-]+)"),
)
_LOCAL = ("localhost", "127.0.0.1", "0.0.0.0", "::1")
_SOCKETS = ("urllib", "socket.py", "ssl.py", "http", "requests", "urllib3", "aiohttp")
OFFLINE = "run where it can be reached, or download the file once and make its path a parameter"


def explained(evidence: Evidence) -> Explanation | None:
    host = _host(evidence)
    if evidence.error in ("HTTPError", "HTTPStatusError", "HfHubHTTPError", "RepositoryNotFoundError"):
        return _answered(evidence, host)
    if evidence.error in _BROKEN:
        what = f"the download{_of(host)} broke off, and half a file may be left"
        return Explanation("network", what, "delete the file, and run again")
    if evidence.error not in _ERRORS or not _about_sockets(evidence):
        return None
    if "CERTIFICATE_VERIFY_FAILED" in evidence.said or "certificate verify failed" in evidence.said:
        what = f"the certificate{_of(host)} is not one that Python trusts; a company's proxy often stands between"
        fix = "set SSL_CERT_FILE and REQUESTS_CA_BUNDLE to the file with the proxy's certificate"
        return Explanation("network", what, fix)
    if host in _LOCAL:
        what = f"no server of this machine answers at {host}"
        return Explanation("network", what, "start the server that the cell talks to, or correct the port")
    reason = _reason(evidence)
    return Explanation("network", f"{host or 'the network'} {reason}", OFFLINE)


def _reason(evidence: Evidence) -> str:
    said = evidence.said.lower()
    if re.search(
        r"name or service not known|name resolution|getaddrinfo|failed to resolve|nodename nor servname", said
    ):
        return "cannot be found: there is no network here, or no such host"
    if "timed out" in said or "timeout" in evidence.error.lower():
        return "did not answer in time"
    if "refused" in said:
        return "refuses the connection"
    if "proxy" in said:
        return "cannot be reached through the proxy (HTTP_PROXY, HTTPS_PROXY)"
    return "cannot be reached"


def _answered(evidence: Evidence, host: str) -> Explanation | None:
    match = _CODE.search(evidence.said)
    if match is None:
        return None
    code = int(match["code"])
    server = host or "the server"
    if code in (404, 410):
        return Explanation("network", f"{server} no longer has what the address names ({code})", "find its new address")
    if code in (401, 403):
        return Explanation(
            "network", f"{server} does not give it to this user ({code})", "sign in, or give the token it wants"
        )
    if code == 429:
        return Explanation("network", f"{server} was asked too often (429)", "wait, ask less often, or keep a copy")
    if code >= 500:
        return Explanation("network", f"{server} has trouble of its own ({code})", "run again later, or keep a copy")
    return None


def _about_sockets(evidence: Evidence) -> bool:
    """`TimeoutError` and `ConnectionError` are everybody's words: a frame must be the network's."""
    if evidence.error in ("URLError", "gaierror", "MaxRetryError", "NameResolutionError", "SSLError"):
        return True
    files = re.findall(r"^File ([^\n,]*)", evidence.trace, re.MULTILINE)
    return any(name in file for file in files for name in _SOCKETS)


def _host(evidence: Evidence) -> str:
    """The host that was asked, when message, failed line or cell name one."""
    cells = "\n".join(frame for frame in evidence.frames if frame.startswith("Cell In["))
    for text in (evidence.said, evidence.line, cells, evidence.source):
        for pattern in _HOSTS:
            found = {str(host) for host in pattern.findall(text)}
            if len(found) == 1:
                return found.pop()
    return ""


def _of(host: str) -> str:
    return f" from {host}" if host else ""
