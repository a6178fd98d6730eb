"""The registry of store platforms: slug, label, form, save, load.

A platform registers itself from its app's `ready()`. Nothing outside a platform's
folder knows its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from django import forms
from django.utils.functional import Promise

from stores.models import Store, User


class StorePlatform:
    """One kind of store. Subclass it in the platform's `definition.py`."""

    slug: ClassVar[str]
    label: ClassVar[str | Promise]
    # Takes `store` (None while it is being set up) besides the usual arguments.
    form_class: ClassVar[type[forms.Form]]

    def save(
        self, store: Store, answers: Mapping[str, Any], *, by: User | None
    ) -> None:
        """Write typed answers to the platform's settings row, and audit what changed.

        Runs inside the caller's transaction. An empty secret keeps the stored one.
        """
        raise NotImplementedError

    def load(self, store: Store) -> dict[str, Any]:
        """Return the stored answers for an edit form; never a secret."""
        raise NotImplementedError

    def review(self, store: Store) -> list[tuple[str, str]]:
        """Return label and value rows for pages and the admin; never a secret."""
        raise NotImplementedError


_registry: dict[str, StorePlatform] = {}


def register(platform: StorePlatform) -> None:
    """Add a platform; registering a slug twice is a programming error."""
    if platform.slug in _registry:
        raise ValueError(f"Platform {platform.slug} is registered twice.")
    _registry[platform.slug] = platform


def get(slug: str) -> StorePlatform:
    """Return the platform of a stored slug. Raises KeyError when not installed."""
    return _registry[slug]


def installed() -> Iterator[StorePlatform]:
    """All platforms, by label: the picker shows only those that work."""
    return iter(sorted(_registry.values(), key=lambda platform: str(platform.label)))
