from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # Built while receipts are written: no table is locked for long.
    atomic = False

    dependencies = [
        ('connections', '0026_receipt_line_names'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='receipt',
            index=models.Index(fields=['account', '-id'], name='connections_receipt_list'),
        ),
    ]
