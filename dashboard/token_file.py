"""The file that keeps the dashboard's token: for its next start, and for a Prometheus beside it.

Prometheus reads it as its ``credentials_file``, usually as another user of the same group.
"""

import os
import secrets
from pathlib import Path
from typing import Final

from dashboard.config import checked_token
from dashboard.errors import ConfigError

__all__ = ["kept_token"]

_VARIABLE: Final = "DASHBOARD_TOKEN_FILE"
_MODE: Final = 0o640


def kept_token(path: Path, given: str | None) -> str:
    """The token: ``given``, which is then kept, or the one kept before, or a new random one.

    Raises:
        ConfigError: the file cannot be read or written, or does not hold a token.
    """
    try:
        kept = path.read_text(encoding="utf-8").strip() if path.exists() else ""
        if given is None and kept:
            return checked_token(kept, _VARIABLE)
        token = given or secrets.token_urlsafe(24)
        if token != kept:
            _write(path, token)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigError(f"{_VARIABLE}: cannot use {path}: {reason}") from error
    return token


def _write(path: Path, token: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    # Never there with another mode or half written.
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "w") as file:
        os.fchmod(file.fileno(), _MODE)
        file.write(token)
    new.replace(path)
