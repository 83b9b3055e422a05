"""What the page is made with: Jinja2 for its text, plotly for its plots, packed into the page."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
from typing import Any

from cnnc_runtime.errors import UsageError

__all__ = ["content_security_policy", "packed_plotly", "require_report"]


def require_report() -> None:
    """Raise UsageError if the extra is not installed."""
    try:
        import jinja2  # noqa: F401
        import plotly  # noqa: F401
    except ImportError as error:
        raise UsageError("the HTML report needs plotly and jinja2: pip install 'cnnc[report]'") from error


@functools.cache
def packed_plotly() -> str:
    """plotly.js as the Python package brings it, gzip, base64: 2 MB where the text has nearly 5."""
    return base64.b64encode(gzip.compress(_plotly_source(), 9, mtime=0)).decode("ascii")


def content_security_policy(script: str) -> str:
    """No network at all; of scripts, `script` and plotly.js only, by their hashes: no text of a model can be one."""
    hashes = " ".join(f"'sha256-{_sha256(source)}'" for source in (script.encode(), _plotly_source()))
    rules: dict[str, Any] = {
        "default-src": "'none'",
        "script-src": hashes,
        "style-src": "'unsafe-inline'",  # plotly sets styles on its elements
        "img-src": "data: blob:",  # the kernels; a plot that is saved as a picture
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


@functools.cache
def _plotly_source() -> bytes:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).encode()


def _sha256(source: bytes) -> str:
    return base64.b64encode(hashlib.sha256(source).digest()).decode("ascii")
