"""Rules of more kinds; what is off is not due."""

import datetime
from django.db import migrations, models


OFF_IS_NOT_DUE = """
    UPDATE connections_schedule s SET next_due_at = NULL
    FROM connections_channel ch JOIN connections_connection c ON c.id = ch.connection_id
    WHERE ch.id = s.channel_id AND (ch.enabled_at IS NULL OR c.enabled_at IS NULL)
"""


class Migration(migrations.Migration):

    dependencies = [
        ('connections', '0003_alert'),
        ('stores', '0002_tenancy_and_audit'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='schedule',
            name='connections_schedule_every',
        ),
        migrations.RemoveIndex(
            model_name='schedule',
            name='connections_schedule_due',
        ),
        migrations.AddField(
            model_name='schedule',
            name='at',
            field=models.TimeField(db_default=datetime.time(0, 0), default=datetime.time(0, 0)),
        ),
        migrations.AddField(
            model_name='schedule',
            name='end_hour',
            field=models.PositiveSmallIntegerField(db_default=23, default=23),
        ),
        migrations.AddField(
            model_name='schedule',
            name='kind',
            field=models.CharField(choices=[('minutely', 'Minutely'), ('hourly', 'Hourly'), ('daily', 'Daily'), ('flexible', 'Flexible')], db_default='minutely', default='minutely', max_length=10),
        ),
        migrations.AddField(
            model_name='schedule',
            name='start_hour',
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='schedule',
            name='weekdays',
            field=models.PositiveSmallIntegerField(db_default=127, default=127),
        ),
        migrations.AddIndex(
            model_name='schedule',
            index=models.Index(condition=models.Q(('next_due_at__isnull', False)), fields=['next_due_at'], name='connections_schedule_due'),
        ),
        migrations.AddConstraint(
            model_name='schedule',
            constraint=models.CheckConstraint(condition=models.Q(('kind', 'minutely'), models.Q(('at__lt', datetime.time(1, 0)), ('every_minutes__in', [60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 660, 720, 780, 840, 900, 960, 1020, 1080, 1140, 1200, 1260, 1320, 1380, 1440]), ('kind', 'hourly')), models.Q(('every_minutes__in', [1440, 2880, 4320, 5760, 7200, 8640, 10080, 11520, 12960, 14400, 15840, 17280, 18720, 20160, 21600, 23040, 24480, 25920, 27360, 28800, 30240, 31680, 33120, 34560, 36000, 37440, 38880, 40320, 41760, 43200, 44640]), ('kind', 'daily')), models.Q(('end_hour__lte', 23), ('every_minutes__lte', 1440), ('kind', 'flexible'), ('start_hour__lte', models.F('end_hour')), ('weekdays__range', (1, 127))), _connector='OR'), name='connections_schedule_shape'),
        ),
        migrations.AddConstraint(
            model_name='schedule',
            constraint=models.CheckConstraint(condition=models.Q(('every_minutes__gte', 15), models.Q(('every_minutes__gte', 60), models.Q(('job', 'stock_changes'), _negated=True), _connector='OR'), models.Q(('every_minutes__gte', 1440), models.Q(('job', 'stock_full'), _negated=True), _connector='OR')), name='connections_schedule_minimum'),
        ),
        migrations.RunSQL(OFF_IS_NOT_DUE, migrations.RunSQL.noop),
    ]
