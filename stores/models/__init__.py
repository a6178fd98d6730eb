"""The ground: who owns what, and who may do what."""

from stores.models.audit import AuditEvent
from stores.models.keys import HostKey, SSHKey
from stores.models.people import Account, Membership, Role, User
from stores.models.trade import FileExchangeSettings, Merchant, Store, Warehouse

__all__ = [
    "Account",
    "AuditEvent",
    "FileExchangeSettings",
    "HostKey",
    "Membership",
    "Merchant",
    "Role",
    "SSHKey",
    "Store",
    "User",
    "Warehouse",
]
