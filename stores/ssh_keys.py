"""Make and keep our SSH key pairs; stores do not speak SSH themselves."""

from __future__ import annotations

from django.db import transaction

from stores import audit
from stores.models import Account, SSHKey, Store, User


@transaction.atomic
def keep_key_pair(
    *, account: Account, private_key: str, public_key: str, by: User | None
) -> SSHKey:
    """Store a freshly made pair; the private half is sealed to its row (K1, K2)."""
    key = SSHKey(account=account, key_type=public_key.split()[0], public_key=public_key)
    key.seal("private_key", private_key)
    key.save()
    audit.record("ssh_key.made", key, by=by, after={"sha256": key.sha256})
    return key


def give_to_store(key: SSHKey, store: Store) -> None:
    """Make a draft's key the store's current one; it is already registered at IP."""
    key.store = store
    key.state = SSHKey.State.CURRENT
    key.save(update_fields=["store", "state"])


def current_key(store: Store) -> SSHKey:
    """Return the store's key. Raises SSHKey.DoesNotExist."""
    return store.ssh_keys.get(state=SSHKey.State.CURRENT)
