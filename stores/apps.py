"""The ground."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate

ONBOARDING = "Onboarding"
# What the onboarding team may do in the admin; it sees no secrets (security.md A5).
ONBOARDING_MAY = (
    "view_account",
    "view_merchant",
    "view_store",
    "change_store",
    "view_connection",
    "view_auditevent",
    "view_delivery",
    "view_syncrun",
    "change_syncrun",  # replay
)


class StoresConfig(AppConfig):
    """Accounts, people, access; merchants, stores, warehouses and their credentials."""

    name = "stores"

    def ready(self) -> None:
        post_migrate.connect(_give_onboarding_its_group)


def _give_onboarding_its_group(**kwargs: Any) -> None:
    from django.contrib.auth.models import Group, Permission

    group, _made = Group.objects.get_or_create(name=ONBOARDING)
    group.permissions.set(Permission.objects.filter(codename__in=ONBOARDING_MAY))
