"""A store's settings belong to the store's account."""

from django.db import migrations

from stores.models.tenant import tenant_foreign_keys


class Migration(migrations.Migration):
    dependencies = [
        ("inventory_planner", "0001_initial"),
        ("stores", "0002_tenancy_and_audit"),
    ]

    operations = [
        migrations.RunSQL(
            tenant_foreign_keys(
                "inventory_planner_inventoryplannersettings", store_id="stores_store"
            ),
            migrations.RunSQL.noop,
        ),
    ]
