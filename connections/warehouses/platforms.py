"""The kinds of warehouses: by files over SFTP, or by hand."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from stores.models import Warehouse


class WarehousePlatform(models.TextChoices):
    """A warehouse's `platform`; each works whole, or it is not offered."""

    FILE_EXCHANGE = "file_exchange", _("File exchange (SFTP)")
    MANUAL = "manual", _("Manual: upload stock, download orders")


def exchanges_files(warehouse: Warehouse) -> bool:
    """Say whether workers talk to the warehouse; otherwise people do."""
    return warehouse.platform == WarehousePlatform.FILE_EXCHANGE
