"""Uploaded reports wait to be applied; a refusal has a field of its own."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

STORAGE = 'ALTER TABLE connections_uploadchunk ALTER COLUMN data SET STORAGE EXTERNAL'

REASONS = """
    UPDATE connections_stockreport
    SET reason = left(problems -> 0 ->> 'reason', 200), problems = '[]'
    WHERE state = 'refused' AND jsonb_array_length(problems) = 1
"""


class Migration(migrations.Migration):

    dependencies = [
        ('connections', '0013_rows_left_out'),
        ('stores', '0002_tenancy_and_audit'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='UploadChunk',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('n', models.PositiveIntegerField()),
                ('data', models.BinaryField()),
            ],
            options={
                'ordering': ['n'],
            },
        ),
        migrations.AddField(
            model_name='stockreport',
            name='file_name',
            field=models.CharField(blank=True, db_default='', max_length=255),
        ),
        migrations.AddField(
            model_name='stockreport',
            name='preview',
            field=models.JSONField(null=True),
        ),
        migrations.AddField(
            model_name='stockreport',
            name='reason',
            field=models.CharField(blank=True, db_default='', max_length=200),
        ),
        migrations.AddField(
            model_name='stockreport',
            name='uploaded_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AlterField(
            model_name='stockreport',
            name='state',
            field=models.CharField(choices=[('arriving', 'Arriving'), ('waiting', 'Waits to be applied'), ('applied', 'Applied'), ('refused', 'Refused'), ('discarded', 'Discarded'), ('expired', 'Expired')], max_length=10),
        ),
        migrations.AddIndex(
            model_name='stockreport',
            index=models.Index(condition=models.Q(('state__in', ['arriving', 'waiting'])), fields=['read_at'], name='connections_report_open'),
        ),
        migrations.AddField(
            model_name='uploadchunk',
            name='report',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='chunks', to='connections.stockreport'),
        ),
        migrations.AddConstraint(
            model_name='uploadchunk',
            constraint=models.UniqueConstraint(fields=('report', 'n'), name='connections_uploadchunk_once'),
        ),
        migrations.RunSQL(STORAGE, migrations.RunSQL.noop),
        migrations.RunSQL(REASONS, migrations.RunSQL.noop),
    ]
