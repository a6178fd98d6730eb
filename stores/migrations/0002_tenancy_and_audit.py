"""What the ORM cannot say: same-tenant foreign keys, and an audit nobody rewrites."""

from django.db import migrations

from stores.models.tenant import tenant_foreign_keys, tenant_key

TENANCY = [
    tenant_key("stores_merchant"),
    tenant_key("stores_store"),
    tenant_key("stores_warehouse"),
    tenant_key("stores_sshkey"),
    *tenant_foreign_keys("stores_membership", merchant_id="stores_merchant"),
    *tenant_foreign_keys("stores_store", merchant_id="stores_merchant"),
    *tenant_foreign_keys("stores_warehouse", merchant_id="stores_merchant"),
    *tenant_foreign_keys(
        "stores_fileexchangesettings", warehouse_id="stores_warehouse"
    ),
    *tenant_foreign_keys("stores_sshkey", store_id="stores_store"),
]

# A statement trigger as well: TRUNCATE fires no row trigger (security.md A2).
AUDIT = [
    """
    CREATE FUNCTION stores_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'stores_auditevent is append-only: % refused', TG_OP
            USING ERRCODE = 'insufficient_privilege';
    END $$
    """,
    """
    CREATE TRIGGER stores_audit_rows BEFORE UPDATE OR DELETE ON stores_auditevent
    FOR EACH ROW EXECUTE FUNCTION stores_audit_refuse()
    """,
    """
    CREATE TRIGGER stores_audit_truncate BEFORE TRUNCATE ON stores_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION stores_audit_refuse()
    """,
    # The plain application role appends and reads (docs/operations.md names it).
    """
    DO $$ BEGIN
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'dropstream_app') THEN
            REVOKE UPDATE, DELETE, TRUNCATE ON stores_auditevent FROM dropstream_app;
        END IF;
    END $$
    """,
]


class Migration(migrations.Migration):
    dependencies = [("stores", "0001_initial")]

    operations = [
        migrations.RunSQL(TENANCY, migrations.RunSQL.noop),
        migrations.RunSQL(
            AUDIT, "DROP FUNCTION IF EXISTS stores_audit_refuse() CASCADE"
        ),
    ]
