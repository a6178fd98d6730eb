"""A connection and all that flows through it; one concern a file.

A foreign key of a large table with `db_index=False`: an index of more columns begins with
it.
"""

from connections.models.activity import Activity
from connections.models.alerts import Alert
from connections.models.checks import CheckRun
from connections.models.connection import (
    Channel,
    Connection,
    Location,
    OffPeriod,
    Schedule,
)
from connections.models.delivery import Delivery, DeliveryChunk
from connections.models.draft import ConnectionDraft
from connections.models.heartbeat import Heartbeat
from connections.models.listings import Component, FormerSource, Listing, ListingsFile
from connections.models.orders import (
    HandOver,
    OrderReading,
    PurchaseOrder,
    PurchaseOrderLine,
    Receipt,
    ReceiptLine,
)
from connections.models.run import StoreLease, SyncRun
from connections.models.stock import (
    StagedLevel,
    StockLevel,
    StockReport,
    UploadChunk,
)

__all__ = [
    "Activity",
    "Alert",
    "Channel",
    "CheckRun",
    "Component",
    "Connection",
    "ConnectionDraft",
    "Delivery",
    "DeliveryChunk",
    "FormerSource",
    "HandOver",
    "Heartbeat",
    "Listing",
    "ListingsFile",
    "Location",
    "OffPeriod",
    "OrderReading",
    "PurchaseOrder",
    "PurchaseOrderLine",
    "Receipt",
    "ReceiptLine",
    "Schedule",
    "StagedLevel",
    "StockLevel",
    "StockReport",
    "StoreLease",
    "SyncRun",
    "UploadChunk",
]
