"""Typed readers of the environment; the only place that looks at os.environ."""

from __future__ import annotations

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def env_str(name: str, default: str | None = None) -> str:
    """Return NAME; without a default its absence stops the start."""
    value = os.environ.get(name, "").strip()
    if value:
        return value
    if default is None:
        raise ImproperlyConfigured(f"Set {name}; .env.example explains every name.")
    return default


def env_bool(name: str, *, default: bool = False) -> bool:
    """Return NAME read as 1/true/yes/on or 0/false/no/off."""
    value = env_str(name, "on" if default else "off").lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} must be on or off, not {value!r}.")


def env_number(name: str, default: float) -> float:
    """Return NAME read as a positive number."""
    return _positive(name, env_str(name, str(default)))


def env_number_if_set(name: str) -> float | None:
    """Return NAME read as a positive number; None where it is not set."""
    value = env_str(name, "")
    return _positive(name, value) if value else None


def _positive(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number, not {value!r}.") from None
    if number <= 0:
        raise ImproperlyConfigured(f"{name} must be above zero.")
    return number


def env_numbers(name: str, default: str) -> list[float]:
    """Return NAME read as positive numbers, split at commas."""
    return [_positive(name, value) for value in env_list(name, default)]


def env_list(name: str, default: str = "") -> list[str]:
    """Return NAME split at commas, blanks dropped."""
    return [part.strip() for part in env_str(name, default).split(",") if part.strip()]


def env_secret(name: str, default: str | None = None) -> str:
    """Return NAME, or the text of the file that NAME_FILE points to."""
    path = os.environ.get(f"{name}_FILE", "").strip()
    if not path:
        return env_str(name, default)
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE cannot be read: {error}.") from None
