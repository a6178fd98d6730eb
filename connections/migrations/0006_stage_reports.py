"""Reports are staged row by row while they are read; unlogged, for they can be read again."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('connections', '0005_heartbeat_and_run_indexes'),
    ]

    operations = [
        migrations.CreateModel(
            name='StagedLevel',
            fields=[
                ('pk', models.CompositePrimaryKey('reader', 'attempt', 'line', blank=True, editable=False, primary_key=True, serialize=False)),
                ('reader', models.BigIntegerField()),
                ('attempt', models.PositiveIntegerField()),
                ('line', models.PositiveIntegerField()),
                ('sku', models.CharField(db_collation='C', max_length=256)),
                ('facility', models.CharField(max_length=100)),
                ('available', models.DecimalField(decimal_places=4, max_digits=20)),
                ('on_hand', models.DecimalField(decimal_places=4, max_digits=20, null=True)),
                ('committed', models.DecimalField(decimal_places=4, max_digits=20, null=True)),
                ('reported_at', models.DateTimeField()),
            ],
        ),
        migrations.RunSQL('ALTER TABLE connections_stagedlevel SET UNLOGGED', migrations.RunSQL.noop),
    ]
