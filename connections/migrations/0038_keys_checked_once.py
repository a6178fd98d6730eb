"""Orders and timelines: drop foreign keys that another one checks with the account (T3).

Each costs a look at the other table for every row.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    # No table is locked while another one is waited for.
    atomic = False

    dependencies = [
        ('connections', '0037_fill_receipts_found'),
        ('stores', '0003_scoped_by_a_flag'),
    ]

    operations = [
        migrations.AlterField(
            model_name='activity',
            name='account',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='stores.account'),
        ),
        migrations.AlterField(
            model_name='activity',
            name='connection',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='activities', to='connections.connection'),
        ),
        migrations.AlterField(
            model_name='activity',
            name='order',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='activities', to='connections.purchaseorder'),
        ),
        migrations.AlterField(
            model_name='activity',
            name='run',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='activities', to='connections.syncrun'),
        ),
        migrations.AlterField(
            model_name='purchaseorder',
            name='account',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='stores.account'),
        ),
        migrations.AlterField(
            model_name='purchaseorder',
            name='connection',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='purchase_orders', to='connections.connection'),
        ),
        migrations.AlterField(
            model_name='purchaseorder',
            name='store',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='purchase_orders', to='stores.store'),
        ),
    ]
