"""Download a public key as a file."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.views.decorators.http import require_safe

from connections.models import ConnectionDraft
from stores import ssh_keys
from stores.access import Action, MemberRequest, get_or_404, member_required
from stores.models import SSHKey, Store


@require_safe
@member_required
def store_key(request: MemberRequest, store: str) -> HttpResponse:
    """The key of a store."""
    row = get_or_404(Store.objects.all(), request.user, store, Action.VIEW)
    return _key_file(ssh_keys.current_key(row))


@require_safe
@member_required
def draft_key(request: MemberRequest, draft: str) -> HttpResponse:
    """The key of a store that is being set up; there is one from step 4 on."""
    row = get_or_404(
        ConnectionDraft.objects.open().select_related("ssh_key"),
        request.user,
        draft,
        Action.MANAGE_CONNECTIONS,
    )
    if row.ssh_key is None:
        raise Http404
    return _key_file(row.ssh_key)


def _key_file(key: SSHKey) -> HttpResponse:
    """One OpenSSH line in a .pub file."""
    headers = {"Content-Disposition": 'attachment; filename="dropstream.pub"'}
    return HttpResponse(
        f"{key.public_key}\n", content_type="text/plain", headers=headers
    )
