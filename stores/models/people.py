"""Accounts (the tenants) and the people in them (dropstream.md §4)."""

from __future__ import annotations

import uuid
import zoneinfo
from typing import TYPE_CHECKING, Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from stores.models.trade import Merchant


class Account(models.Model):
    """One DropStream customer organisation; the tenant boundary."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64, default="UTC")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


def zone_named(name: str) -> zoneinfo.ZoneInfo:
    """An account's zone; UTC where the system does not know it: one typo stops nobody."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return zoneinfo.ZoneInfo("UTC")


class UserManager(BaseUserManager["User"]):
    """People are known by their e-mail address, whatever its case."""

    def create_user(
        self, email: str, password: str | None = None, **fields: Any
    ) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(
        self, email: str, password: str | None = None, **fields: Any
    ) -> User:
        return self.create_user(
            email, password, is_staff=True, is_superuser=True, **fields
        )

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person who logs in. What they may do comes from their membership."""

    email = models.EmailField(_("email"), unique=True)
    first_name = models.CharField(_("first name"), max_length=150, blank=True)
    last_name = models.CharField(_("last name"), max_length=150, blank=True)
    is_staff = models.BooleanField(
        _("onboarding team"),
        default=False,
        help_text=_("May open the admin. Unrelated to the Staff role of an account."),
    )
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(auto_now_add=True)

    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = []

    def __str__(self) -> str:
        return self.full_name or self.email

    @property
    def full_name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()


class Role(models.TextChoices):
    """What a person is in an account (dropstream.md §4)."""

    ADMINISTRATOR = "administrator", _("Administrator")
    STAFF = "staff", _("Staff")
    MERCHANT = "merchant", _("Merchant")


class Membership(models.Model):
    """A person's one account, role, and the merchants they are limited to."""

    user = models.OneToOneField(User, models.CASCADE, related_name="membership")
    account = models.ForeignKey(Account, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role)
    merchant = models.ForeignKey(
        "stores.Merchant",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="people",
        help_text=_("The one merchant of a Merchant user."),
    )
    scope = models.ManyToManyField(
        "stores.Merchant",
        blank=True,
        related_name="staff",
        help_text=_("Merchants that a Staff user is limited to."),
    )
    # Set by a trigger with the first merchant of the scope. An empty scope alone would
    # mean "all" to whoever lost the last of theirs.
    is_scoped = models.BooleanField(
        default=False,
        db_default=False,
        help_text=_("Limited to the scope, even when nothing is left in it."),
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="stores_membership_role", condition=Q(role__in=Role.values)
            ),
            models.CheckConstraint(
                name="stores_membership_merchant",
                condition=Q(role=Role.MERCHANT, merchant__isnull=False)
                | (~Q(role=Role.MERCHANT) & Q(merchant__isnull=True)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.get_role_display()}, {self.account})"

    def visible_merchants(self) -> models.QuerySet[Merchant] | None:
        """Return the merchants this person is limited to; None means no limit."""
        from stores.models.trade import Merchant

        if self.role == Role.MERCHANT:
            return Merchant.objects.filter(people=self)
        if self.role == Role.STAFF and self.is_scoped:
            return self.scope.all()
        return None
