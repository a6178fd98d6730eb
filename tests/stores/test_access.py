"""What roles may do and what scopes show (T1, T5); the gate is in test_tenancy."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db import connection as database

from stores.access import Action, check, may
from stores.models import Merchant, Role, Store, User
from stores.models.tenant import membership_of
from tests import factories
from tests.factories import Cast

# design.md §3, Tenancy and people.
MAY = {
    Action.VIEW: {"administrator", "staff", "merchant_user"},
    Action.EDIT_STORE: {"administrator", "staff", "merchant_user"},
    Action.TEST_STORE: {"administrator", "staff", "merchant_user"},
    Action.MANAGE_CONNECTIONS: {"administrator", "staff"},
    Action.APPROVE_HOST_KEY: {"administrator", "staff"},
    Action.DELETE: {"administrator"},
}


@pytest.mark.parametrize("action", Action)
def test_what_each_role_may_do(cast: Cast, action: Action) -> None:
    """T5: a new action fails here until somebody says who may do it."""
    people = ("administrator", "staff", "merchant_user", "onboarding")
    assert {who for who in people if may(getattr(cast, who), action)} == MAY[action]
    for who in people:
        if who not in MAY[action]:
            with pytest.raises(PermissionDenied):
                check(getattr(cast, who), action)


def test_scope_narrows_and_its_absence_does_not(cast: Cast) -> None:
    """design.md §3: Staff is optionally scoped to merchants."""
    seen = {
        person.email: set(Merchant.objects.for_user(person))
        for person in (cast.administrator, cast.staff, cast.scoped_staff)
    }
    both = {cast.merchant, cast.other_merchant}
    assert list(seen.values()) == [both, both, {cast.merchant}]
    assert set(Merchant.objects.for_user(cast.merchant_user)) == {cast.merchant}
    assert not Merchant.objects.for_user(cast.onboarding).exists()
    assert not Merchant.objects.for_user(AnonymousUser()).exists()


def test_who_loses_the_last_merchant_of_their_scope_sees_none(cast: Cast) -> None:
    """T1: it fails closed; what is left in a scope is not what makes one."""
    assert cast.scoped_staff.membership.is_scoped
    assert not cast.staff.membership.is_scoped
    cast.merchant.delete()
    person = User.objects.get(pk=cast.scoped_staff.pk)
    assert person.membership.is_scoped
    assert not Merchant.objects.for_user(person).exists()
    assert set(Merchant.objects.for_user(cast.staff)) == {cast.other_merchant}


def test_a_scope_is_one_whoever_writes_it(cast: Cast) -> None:
    """A version of the product that knows no flag adds rows to the scope alone."""
    with database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO stores_membership_scope (membership_id, merchant_id) "
            "VALUES (%s, %s)",
            [cast.staff.membership.pk, cast.merchant.pk],
        )
    person = User.objects.get(pk=cast.staff.pk)
    assert set(Merchant.objects.for_user(person)) == {cast.merchant}


def test_two_merchants_in_scope_repeat_no_row(cast: Cast) -> None:
    """A join on a to-many path would."""
    both = (cast.merchant, cast.other_merchant)
    person = factories.person("bo@acme.example", cast.acme, Role.STAFF, scope=both)
    for merchant in both:
        factories.store(merchant)
    assert Store.objects.for_user(person).count() == 2


def test_a_superuser_is_not_widened(cast: Cast) -> None:
    """T1: not even by Django's own flag."""
    cast.onboarding.is_superuser = True
    cast.onboarding.save()
    factories.store(cast.merchant)
    assert membership_of(cast.onboarding) is None
    assert not Store.objects.for_user(cast.onboarding).exists()
    assert not any(may(cast.onboarding, action) for action in Action)
