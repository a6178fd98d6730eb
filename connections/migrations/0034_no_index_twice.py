"""Large tables: drop indexes of which another one has the same beginning.

Each costs a write for every row. By hand, because `AlterField` would make the foreign key
anew and so look at every row.
"""

import django.db.models.deletion
from django.db import migrations, models

TWICE = [
    ("activity", "connection_id", "76b402b2"),
    ("activity", "order_id", "cf62b8e5"),
    ("component", "listing_id", "59b14f80"),
    ("delivery", "connection_id", "7a9e0618"),
    ("listing", "store_id", "b3428895"),
    ("purchaseorder", "connection_id", "778bbaca"),
    ("purchaseorder", "store_id", "692d7e81"),
    ("purchaseorderline", "order_id", "c9202a68"),
    ("receipt", "warehouse_id", "86147e30"),
    ("stocklevel", "warehouse_id", "e501a3ba"),
    ("syncrun", "connection_id", "0f602231"),
]


def drop(table, column, digest):
    name = f"connections_{table}_{column}_{digest}"
    return migrations.RunSQL(
        f"DROP INDEX CONCURRENTLY IF EXISTS {name}",
        f"CREATE INDEX CONCURRENTLY {name} ON connections_{table} ({column})",
    )


class Migration(migrations.Migration):
    # Nothing waits for long.
    atomic = False

    dependencies = [
        ('connections', '0033_asked_again'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[drop(*index) for index in TWICE],
            state_operations=[
                migrations.AlterField(
                    model_name='activity',
                    name='connection',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='activities', to='connections.connection'),
                ),
                migrations.AlterField(
                    model_name='activity',
                    name='order',
                    field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='activities', to='connections.purchaseorder'),
                ),
                migrations.AlterField(
                    model_name='component',
                    name='listing',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='components', to='connections.listing'),
                ),
                migrations.AlterField(
                    model_name='delivery',
                    name='connection',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='connections.connection'),
                ),
                migrations.AlterField(
                    model_name='listing',
                    name='store',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='listings', to='stores.store'),
                ),
                migrations.AlterField(
                    model_name='purchaseorder',
                    name='connection',
                    field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='purchase_orders', to='connections.connection'),
                ),
                migrations.AlterField(
                    model_name='purchaseorder',
                    name='store',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='purchase_orders', to='stores.store'),
                ),
                migrations.AlterField(
                    model_name='purchaseorderline',
                    name='order',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='lines', to='connections.purchaseorder'),
                ),
                migrations.AlterField(
                    model_name='receipt',
                    name='warehouse',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='receipts', to='stores.warehouse'),
                ),
                migrations.AlterField(
                    model_name='stocklevel',
                    name='warehouse',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='levels', to='stores.warehouse'),
                ),
                migrations.AlterField(
                    model_name='syncrun',
                    name='connection',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='runs', to='connections.connection'),
                ),
            ],
        ),
    ]
