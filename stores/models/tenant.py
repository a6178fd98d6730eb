"""What every tenant-owned row shares, and the one way to narrow rows to a person."""

from __future__ import annotations

import uuid
from typing import Self, TypeVar

from django.contrib.auth.models import AnonymousUser
from django.db import models

from stores.models.people import Account, Membership, User

M = TypeVar("M", bound=models.Model, covariant=True)


def membership_of(user: User | AnonymousUser) -> Membership | None:
    """Return the person's membership, or None (onboarding team, anonymous)."""
    if not user.is_authenticated:
        return None
    return getattr(user, "membership", None)


class TenantQuerySet(models.QuerySet[M]):
    """Every tenant read starts here; superusers are not widened (style.md §2.7)."""

    merchant_path = "merchant"

    def for_user(self, user: User | AnonymousUser) -> Self:
        """Rows of the person's account, limited to the merchants they may see."""
        membership = membership_of(user)
        if membership is None:
            return self.none()
        rows = self.filter(account=membership.account_id)
        merchants = membership.visible_merchants()
        if merchants is None:
            return rows
        # An inner query, not a join: a join on a to-many path would repeat rows.
        return rows.filter(**{f"{self.merchant_path}__in": merchants.values("pk")})


class TenantModel(models.Model):
    """A row of one account, with the id that URLs and the API show."""

    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)

    class Meta:
        abstract = True


def tenant_key(table: str) -> str:
    """SQL: let composite foreign keys point at a table's (id, account_id)."""
    return f"ALTER TABLE {table} ADD CONSTRAINT {table}_tenant UNIQUE (id, account_id)"


def tenant_foreign_keys(table: str, **columns: str) -> list[str]:
    """SQL: each column's row must belong to the same account (security.md T3).

    `columns` maps a foreign key column to the table that it points at.
    """
    return [
        f"ALTER TABLE {table} ADD CONSTRAINT {table}_{column}_tenant "
        f"FOREIGN KEY ({column}, account_id) REFERENCES {parent} (id, account_id) "
        "DEFERRABLE INITIALLY DEFERRED"
        for column, parent in columns.items()
    ]
