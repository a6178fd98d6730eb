"""The product's pages."""

from django.urls import path

from connections.views import (
    alerts,
    checks,
    connection_list,
    connection_page,
    deliveries,
    failed_work,
    inventory,
    keys,
    listing_import,
    listings,
    locations,
    next_file,
    order_actions,
    order_edit,
    order_list,
    orders,
    receipts,
    rules,
    sku,
    stock_reports,
    stock_upload,
    stores,
    warehouses,
)
from connections.wizard import views as wizard

app_name = "connections"

urlpatterns = [
    path("connections/", connection_list.connection_list, name="list"),
    path("connections/add/", wizard.start, name="wizard_start"),
    path(
        "connections/add/<uuid:draft>/discard/", wizard.discard, name="wizard_discard"
    ),
    path(
        "connections/add/<uuid:draft>/platform/",
        wizard.platform_fields,
        name="wizard_platform",
    ),
    path("connections/add/<uuid:draft>/key.pub", keys.draft_key, name="wizard_key"),
    path(
        "connections/add/<uuid:draft>/<slug:step>/",
        wizard.AddConnectionView.as_view(
            wizard.STEPS, url_name="connections:wizard", done_step_name="done"
        ),
        name="wizard",
    ),
    path(
        "connections/<uuid:connection>/", connection_page.connection_page, name="page"
    ),
    path(
        "connections/<uuid:connection>/switch/",
        connection_page.connection_switch,
        name="switch",
    ),
    path(
        "connections/<uuid:connection>/delete/",
        connection_page.connection_delete,
        name="delete",
    ),
    path(
        "connections/<uuid:connection>/serves/",
        connection_page.connection_serves,
        name="serves",
    ),
    path(
        "connections/<uuid:connection>/files/",
        deliveries.delivery_list,
        name="delivery_list",
    ),
    path("files/<uuid:delivery>/", deliveries.delivery_page, name="delivery"),
    path(
        "files/<uuid:delivery>/download/",
        deliveries.delivery_file,
        name="delivery_file",
    ),
    path("files/<uuid:delivery>/send/", deliveries.delivery_send, name="delivery_send"),
    path(
        "connections/<uuid:connection>/next-file/",
        next_file.preview,
        name="preview",
    ),
    path(
        "connections/<uuid:connection>/next-file/download/",
        next_file.preview_file,
        name="preview_file",
    ),
    path(
        "connections/<uuid:connection>/locations/",
        locations.location_list,
        name="location_list",
    ),
    path(
        "connections/<uuid:connection>/locations/<uuid:location>/remove/",
        locations.location_remove,
        name="location_remove",
    ),
    path(
        "channels/<uuid:channel>/switch/",
        connection_page.channel_switch,
        name="channel_switch",
    ),
    path(
        "channels/<uuid:channel>/run/<slug:job>/",
        connection_page.run_now,
        name="run_now",
    ),
    path("channels/<uuid:channel>/rules/<slug:job>/", rules.rules_page, name="rules"),
    path("operations/failed/", failed_work.failed_work, name="failed_work"),
    path("operations/failed/replay/", failed_work.failed_replay, name="failed_replay"),
    path("operations/alerts/", alerts.alert_list, name="alert_list"),
    path(
        "operations/alerts/<uuid:alert>/dismiss/",
        alerts.alert_dismiss,
        name="alert_dismiss",
    ),
    path(
        "inventory/warehouse/",
        inventory.inventory_warehouse,
        name="inventory_warehouse",
    ),
    path(
        "inventory/warehouse/file/",
        inventory.inventory_warehouse_file,
        name="inventory_warehouse_file",
    ),
    path("inventory/channel/", inventory.inventory_channel, name="inventory_channel"),
    path(
        "inventory/channel/file/",
        inventory.inventory_channel_file,
        name="inventory_channel_file",
    ),
    path("inventory/<uuid:merchant>/sku/", sku.inventory_sku, name="inventory_sku"),
    path("stores/", stores.store_list, name="store_list"),
    path("stores/<uuid:store>/", stores.store_page, name="store"),
    path("stores/<uuid:store>/listings/", listings.listing_list, name="listing_list"),
    path("stores/<uuid:store>/listings/add/", listings.listing_add, name="listing_add"),
    path(
        "stores/<uuid:store>/listings/file/", listings.listing_file, name="listing_file"
    ),
    path(
        "stores/<uuid:store>/listings/import/",
        listing_import.listing_import,
        name="listing_import",
    ),
    path(
        "listings/import/<uuid:listings_file>/",
        listing_import.listing_import_page,
        name="listing_import_page",
    ),
    path("listings/<uuid:listing>/", listings.listing_page, name="listing"),
    path("listings/<uuid:listing>/end/", listings.listing_end, name="listing_end"),
    path("stores/<uuid:store>/key.pub", keys.store_key, name="store_key"),
    path(
        "stores/<uuid:store>/master-data/",
        stores.store_master_data,
        name="store_master_data",
    ),
    path("stores/<uuid:store>/test/", stores.store_test, name="store_test"),
    path("warehouses/<uuid:warehouse>/", warehouses.warehouse_page, name="warehouse"),
    path(
        "warehouses/<uuid:warehouse>/test/",
        warehouses.warehouse_test,
        name="warehouse_test",
    ),
    path(
        "warehouses/<uuid:warehouse>/upload/",
        stock_upload.stock_upload,
        name="stock_upload",
    ),
    path(
        "warehouses/<uuid:warehouse>/reports/",
        stock_reports.report_list,
        name="report_list",
    ),
    path("reports/<uuid:report>/", stock_reports.report_page, name="report"),
    path(
        "reports/<uuid:report>/apply/", stock_reports.report_apply, name="report_apply"
    ),
    path(
        "reports/<uuid:report>/discard/",
        stock_reports.report_discard,
        name="report_discard",
    ),
    path("checks/<uuid:check>/", checks.check, name="check"),
    path("checks/<uuid:check>/cancel/", checks.check_cancel, name="check_cancel"),
    path(
        "checks/<uuid:check>/approve/<uuid:host_key>/",
        checks.check_approve,
        name="check_approve",
    ),
    path("orders/", order_list.order_list, name="order_list"),
    path("orders/act/", order_actions.order_act, name="order_act"),
    path("orders/receipts/", receipts.receipt_list, name="receipt_list"),
    path("orders/receipts/act/", receipts.receipt_act, name="receipt_act"),
    path("orders/receipts/<uuid:receipt>/", receipts.receipt_page, name="receipt"),
    path("orders/<uuid:order>/", orders.order_page, name="order"),
    path("orders/<uuid:order>/send/", order_actions.order_send, name="order_send"),
    path(
        "orders/<uuid:order>/warehouse/",
        order_actions.order_route,
        name="order_route",
    ),
    path("orders/<uuid:order>/edit/", order_edit.order_edit, name="order_edit"),
    path("orders/<uuid:order>/document/", orders.order_document, name="order_document"),
    path("orders/<uuid:order>/file/", orders.order_file, name="order_file"),
    path("orders/<uuid:order>/receive/", orders.order_receive, name="order_receive"),
]
