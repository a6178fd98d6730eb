"""The one gate: what a role may do. Out of scope is 404, visible but not allowed 403."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponseBase

from stores.models import Membership, Role, User
from stores.models.tenant import TenantQuerySet, membership_of

P = ParamSpec("P")
M = TypeVar("M", bound=models.Model)

EVERYBODY = frozenset(Role)
STAFF = frozenset({Role.ADMINISTRATOR, Role.STAFF})


class Action(Enum):
    """What can be asked for (design.md §3, Tenancy and people)."""

    VIEW = "view"
    EDIT_STORE = "edit store"
    TEST_STORE = "test store"
    MANAGE_CONNECTIONS = "manage connections"
    APPROVE_HOST_KEY = "approve host key"
    DELETE = "delete"


ROLES: dict[Action, frozenset[Role]] = {
    Action.VIEW: EVERYBODY,
    Action.EDIT_STORE: EVERYBODY,
    Action.TEST_STORE: EVERYBODY,
    Action.MANAGE_CONNECTIONS: STAFF,
    Action.APPROVE_HOST_KEY: STAFF,
    Action.DELETE: frozenset({Role.ADMINISTRATOR}),
}


class MemberRequest(HttpRequest):
    """A request of somebody with a membership; made by `member_required`."""

    user: User
    membership: Membership


def may(user: User, action: Action) -> bool:
    """Say whether the person's role allows the action at all."""
    membership = membership_of(user)
    return membership is not None and membership.role in ROLES[action]


def check(user: User, action: Action) -> None:
    """Raise PermissionDenied (403) unless the person's role allows the action."""
    if not may(user, action):
        raise PermissionDenied


def get_or_404(
    rows: TenantQuerySet[M], user: User, public_id: object, action: Action
) -> M:
    """Fetch one row that the person may see and act on.

    Raises Http404 when it is out of their scope or missing (the same to them, T1), and
    only then PermissionDenied when they see it but may not act.
    """
    found = rows.for_user(user).filter(public_id=public_id).first()
    if found is None:
        raise Http404
    check(user, action)
    return found


def member_required(
    view: Callable[Concatenate[MemberRequest, P], HttpResponseBase],
) -> Callable[..., HttpResponseBase]:
    """Let a view run for people who belong to an account; the rest see nothing there."""

    @wraps(view)
    @login_required
    def gate(request: Any, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        membership = membership_of(request.user)
        if membership is None:
            raise Http404
        request.membership = membership
        return view(request, *args, **kwargs)

    return gate
