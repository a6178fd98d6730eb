"""Who is limited to some merchants says so by a flag, not by having any."""

from django.db import migrations, models

# A trigger, not the code: whoever adds to a scope limits the person by it, a version of
# the product that knows no flag included.
FLAG = [
    """
    UPDATE stores_membership SET is_scoped = true
    WHERE id IN (SELECT membership_id FROM stores_membership_scope)
    """,
    """
    CREATE FUNCTION stores_membership_limit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE stores_membership SET is_scoped = true
        WHERE id = NEW.membership_id AND NOT is_scoped;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER stores_membership_limited AFTER INSERT ON stores_membership_scope
    FOR EACH ROW EXECUTE FUNCTION stores_membership_limit()
    """,
]


class Migration(migrations.Migration):
    dependencies = [("stores", "0002_tenancy_and_audit")]

    operations = [
        migrations.AddField(
            model_name="membership",
            name="is_scoped",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Limited to the scope, even when nothing is left in it.",
            ),
        ),
        migrations.AlterField(
            model_name="membership",
            name="scope",
            field=models.ManyToManyField(
                blank=True,
                help_text="Merchants that a Staff user is limited to.",
                related_name="staff",
                to="stores.merchant",
            ),
        ),
        migrations.RunSQL(
            FLAG, "DROP FUNCTION IF EXISTS stores_membership_limit() CASCADE"
        ),
    ]
