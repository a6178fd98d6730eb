"""The onboarding team's admin: which set-ups wait, and for what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from connections import platforms
from connections.messages import explain
from connections.models import CheckRun, Connection, Delivery, SyncRun
from connections.runs.replay import replay, replayable
from connections.views.connection_list import store_relations
from stores import audit
from stores.models import Account, AuditEvent, Merchant, Store, User


class SetUpFilter(admin.SimpleListFilter):
    """The operator's question: which set-ups wait for us?"""

    title = _("set-up")
    parameter_name = "set_up"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("waiting", _("Not validated")), ("validated", _("Validated"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Store]
    ) -> QuerySet[Store]:
        if self.value() in ("waiting", "validated"):
            waiting = self.value() == "waiting"
            return queryset.filter(validated_at__isnull=waiting)
        return queryset


# Generic in the stubs only; subscripting it fails when it runs.
class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in its stubs only
    """Seen, never changed here."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Store)
class StoreAdmin(ReadOnlyAdmin):
    """Set-ups with state and last test; the one thing to do is *Mark validated*."""

    list_display = (
        "name",
        "account",
        "merchant",
        "platform",
        "set_up",
        "last_test",
        "validated_at",
        "validated_by",
    )
    list_filter = (SetUpFilter, "platform")
    search_fields = ("name", "merchant__name", "account__name")
    actions = ("mark_validated",)
    list_per_page = 50
    show_full_result_count = False
    fields = (
        "name",
        "account",
        "merchant",
        "platform",
        "review",
        "set_up",
        "last_test",
        "validated_at",
        "validated_by",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Store]:
        joins = [name.removeprefix("store__") for name in store_relations()[1:]]
        tests = CheckRun.objects.filter(store=OuterRef("pk")).order_by("-pk")
        stores: QuerySet[Store] = super().get_queryset(request)
        return stores.select_related(
            "account", "merchant", "validated_by", *joins
        ).annotate(
            test_state=Subquery(tests.values("state")[:1]),
            test_at=Subquery(tests.values("created_at")[:1]),
        )

    @admin.display(description=_("set-up"))
    def set_up(self, store: Store) -> str:
        """What the store waits for, in words."""
        platform = platforms.of_store(store)
        codes = [platform.missing(store, channel) for channel in platform.channels()]
        waits = [str(explain(code).happened) for code in codes if code]
        if waits:
            return " ".join(dict.fromkeys(waits))
        return str(_("Validated") if store.validated_at else _("Complete: validate it"))

    @admin.display(description=_("last test"))
    def last_test(self, store: Any) -> str:
        """The newest Test connection of the store."""
        if store.test_state is None:
            return str(_("never"))
        return (
            f"{CheckRun.State(store.test_state).label} · {store.test_at:%Y-%m-%d %H:%M}"
        )

    @admin.display(description=_("settings"))
    def review(self, store: Store) -> str:
        """The platform's settings; secrets as fingerprints."""
        rows = platforms.of_store(store).review(store)
        return format_html(
            "<table>{}</table>",
            format_html_join("", "<tr><th>{}</th><td>{}</td></tr>", rows),
        )

    @admin.action(description=_("Mark validated"), permissions=["validate"])
    def mark_validated(self, request: HttpRequest, stores: QuerySet[Store]) -> None:
        """Say that these set-ups were checked by a person; audited each."""
        done = _mark_validated(stores, request.user)
        text = ngettext(
            "%d store marked validated.", "%d stores marked validated.", done
        )
        self.message_user(request, text % done, messages.SUCCESS)

    def has_validate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("stores.change_store")


@transaction.atomic
def _mark_validated(stores: Iterable[Store], by: Any) -> int:
    done = 0
    for store in stores:
        if store.validated_at is None:
            store.validated_at, store.validated_by = timezone.now(), by
            store.save(update_fields=["validated_at", "validated_by"])
            audit.record("store.validated", store, by=by)
            done += 1
    return done


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    list_display = ("name", "created_at")
    search_fields = ("name",)


@admin.register(Merchant)
class MerchantAdmin(ReadOnlyAdmin):
    list_display = ("name", "account", "created_at")
    search_fields = ("name", "account__name")
    list_select_related = ("account",)


@admin.register(Connection)
class ConnectionAdmin(ReadOnlyAdmin):
    list_display = ("name", "account", "merchant", "store", "warehouse", "enabled_at")
    list_select_related = ("account", "merchant", "store", "warehouse")
    search_fields = ("name", "account__name", "merchant__name")


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "account_id", "actor", "action", "target_type", "target")
    list_filter = ("action",)
    search_fields = ("actor", "target", "target_id")
    show_full_result_count = False


@admin.register(SyncRun)
class FailedWorkAdmin(ReadOnlyAdmin):
    """The dead letters of every account; the one thing to do is *Replay*."""

    list_display = (
        "finished_at",
        "account",
        "connection",
        "job",
        "error_code",
        "tries",
    )
    list_filter = ("error_code", "job")
    list_select_related = ("account", "connection")
    search_fields = ("connection__name", "account__name")
    ordering = ("-pk",)
    actions = ("replay",)
    list_per_page = 50
    show_full_result_count = False
    fields = (
        *("account", "connection", "job", "error_code", "error_side", "error_detail"),
        *("tries", "first_started_at", "started_at", "finished_at", "counts"),
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[SyncRun]:
        return SyncRun.objects.dead()

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        titled = {"title": _("Failed work"), **(extra_context or {})}
        return super().changelist_view(request, titled)

    @admin.action(description=_("Replay"), permissions=["replay"])
    def replay(self, request: HttpRequest, dead: QuerySet[SyncRun]) -> Any:
        """Say how many it would be; then let them start in their turn. Audited."""
        if "confirmed" not in request.POST:
            context = {
                **self.admin_site.each_context(request),
                "title": _("Replay failed work"),
                "opts": self.model._meta,
                "count": replayable(dead).count(),
                "action_name": ACTION_CHECKBOX_NAME,
                # A page's worth; all that match go by the filters in the URL.
                "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
                "across": request.POST.get("select_across", "0"),
            }
            page = "admin/connections/syncrun/replay.html"
            return TemplateResponse(request, page, context)
        done = replay(dead, by=cast(User, request.user), chosen={"in": "admin"})
        text = ngettext("%d run is queued.", "%d runs are queued.", done)
        self.message_user(request, text % done, messages.SUCCESS)
        return None

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("connections.change_syncrun")


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # generic in its stubs only
    """Counts no further than anybody turns pages (U26)."""

    COUNTED = 10_000

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by()[: self.COUNTED].count()


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """The ledger of files of every account: what was sent, and what became of it."""

    list_display = (
        *("created_at", "name", "account", "connection", "entity", "state"),
        *("rows", "size", "attempts", "error_code", "delivered_at"),
    )
    list_filter = ("state", "entity")
    list_select_related = ("account", "connection")
    search_fields = ("name__startswith",)
    search_help_text = _("The beginning of a file's name.")
    ordering = ("-pk",)
    list_per_page = 50
    paginator = CappedPaginator
    show_full_result_count = False
    fields = (
        *("name", "account", "connection", "entity", "part", "parts", "resend_of"),
        *("state", "error_code", "attempts", "announced", "folder", "size_seen"),
        *("rows", "left_out", "rules", "size", "sha256", "upper_bound"),
        *("created_at", "first_attempt_at", "delivered_at", "upload_by", "proof"),
    )
    readonly_fields = fields
