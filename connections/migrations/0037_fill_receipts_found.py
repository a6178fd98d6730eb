from django.db import migrations


class Migration(migrations.Migration):
    # Apart from the columns: each statement locks its rows alone, and may come again.
    atomic = False

    dependencies = [
        ('connections', '0036_stranded_orders'),
    ]

    operations = [
        migrations.RunSQL(
            """
            UPDATE connections_receiptline line SET warehouse_id = receipt.warehouse_id
            FROM connections_receipt receipt
            WHERE receipt.id = line.receipt_id AND line.warehouse_id IS NULL
            """,
            migrations.RunSQL.noop,
        ),
        migrations.RunSQL(
            """
            UPDATE connections_receipt receipt
            SET po_number = coalesce(nullif(purchase.reference, ''), purchase.external_id)
            FROM connections_purchaseorder purchase
            WHERE purchase.id = receipt.order_id AND receipt.po_number = ''
            """,
            migrations.RunSQL.noop,
        ),
        migrations.RunSQL(
            """
            UPDATE connections_receipt SET po_number = order_name
            WHERE order_id IS NULL AND po_number = '' AND order_name <> ''
            """,
            migrations.RunSQL.noop,
        ),
    ]
