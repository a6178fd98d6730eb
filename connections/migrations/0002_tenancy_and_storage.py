"""What the ORM cannot say: same-tenant foreign keys, and chunks stored as they are."""

from django.db import migrations

from stores.models.tenant import tenant_foreign_keys, tenant_key

KEYS = [
    tenant_key(f"connections_{table}")
    for table in (
        "connection",
        "channel",
        "connectiondraft",
        "delivery",
        "purchaseorder",
        "syncrun",
    )
]

MERCHANT = {"merchant_id": "stores_merchant"}
STORE = {"store_id": "stores_store"}
WAREHOUSE = {"warehouse_id": "stores_warehouse"}
CONNECTION = {"connection_id": "connections_connection"}
CHANNEL = {"channel_id": "connections_channel"}
ORDER = {"order_id": "connections_purchaseorder"}

FOREIGN_KEYS = {
    "connection": MERCHANT | STORE | WAREHOUSE,
    "channel": CONNECTION,
    "offperiod": CONNECTION,
    "location": CONNECTION,
    "schedule": CHANNEL,
    "syncrun": CONNECTION | CHANNEL | STORE,
    "delivery": CONNECTION | CHANNEL | STORE,
    "activity": CONNECTION | ORDER | {"run_id": "connections_syncrun"},
    "stockreport": WAREHOUSE,
    "stocklevel": WAREHOUSE,
    "purchaseorder": STORE | CONNECTION,
    "handover": STORE | {"delivery_id": "connections_delivery"},
    "receipt": WAREHOUSE | ORDER,
    "connectiondraft": CONNECTION | {"ssh_key_id": "stores_sshkey"},
    "checkrun": STORE | WAREHOUSE | {"draft_id": "connections_connectiondraft"},
}

TENANCY = KEYS + [
    statement
    for table, columns in FOREIGN_KEYS.items()
    for statement in tenant_foreign_keys(f"connections_{table}", **columns)
]

STORAGE = (
    "ALTER TABLE connections_deliverychunk ALTER COLUMN data SET STORAGE EXTERNAL"
)


class Migration(migrations.Migration):
    dependencies = [
        ("connections", "0001_initial"),
        ("stores", "0002_tenancy_and_audit"),
    ]

    operations = [
        migrations.RunSQL(TENANCY, migrations.RunSQL.noop),
        migrations.RunSQL(STORAGE, migrations.RunSQL.noop),
    ]
