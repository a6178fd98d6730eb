"""Why work stops when it is not the network: our own closed table of codes.

`WireError` (the network's) and `Problem` share `code`, `kind` and `detail`; the words
for people are in `connections/messages.py`, one entry for each code of both tables.
"""

from __future__ import annotations

from connections.wire.errors import Kind, clean_detail

CODES: dict[str, Kind] = {
    # Settings that somebody has to complete.
    "connection_string_invalid": Kind.NEEDS_PERSON,
    "endpoint_missing": Kind.NEEDS_PERSON,
    "api_key_missing": Kind.NEEDS_PERSON,
    "account_id_missing": Kind.NEEDS_PERSON,
    "account_id_letter": Kind.NEEDS_PERSON,
    "warehouse_settings_missing": Kind.NEEDS_PERSON,
    # Secrets at rest.
    "secret_unreadable": Kind.NEEDS_PERSON,
    # Files for and from far sides.
    "report_refused": Kind.NEEDS_PERSON,
    "report_late": Kind.NEEDS_PERSON,
    "file_unreadable": Kind.NEEDS_PERSON,
    "stock_not_reported": Kind.NEEDS_PERSON,
    "vendor_currency_missing": Kind.NEEDS_PERSON,
    "stock_folder_unknown": Kind.NEEDS_PERSON,
    "stock_rows_left_out": Kind.NEEDS_PERSON,
    "file_invalid": Kind.BUG,
    "name_taken": Kind.TRANSIENT,
    "delivery_unknown": Kind.TRANSIENT,
    # Orders.
    "other_account": Kind.NEEDS_PERSON,
    "orders_unreadable": Kind.NEEDS_PERSON,
    "order_differs": Kind.NEEDS_PERSON,
    "order_in_doubt": Kind.NEEDS_PERSON,
    "order_not_ready": Kind.NEEDS_PERSON,
    "order_readonly": Kind.NEEDS_PERSON,
    "order_gone": Kind.NEEDS_PERSON,
    "order_moved_there": Kind.NEEDS_PERSON,
    "echo_mismatch": Kind.NEEDS_PERSON,
    "order_lines_ambiguous": Kind.NEEDS_PERSON,
    # Found by looking, not by a run that failed.
    "nothing_delivered": Kind.NEEDS_PERSON,
    "cut_off_missed": Kind.TRANSIENT,
    "not_confirmed": Kind.NEEDS_PERSON,
    # Ourselves.
    "worker_lost": Kind.TRANSIENT,
    "database_away": Kind.TRANSIENT,
    "internal_error": Kind.BUG,
}


class Problem(Exception):
    """Work cannot go on for a reason of the table above."""

    def __init__(self, code: str, detail: str = "") -> None:
        self.code = code
        self.kind = CODES[code]
        self.detail = clean_detail(detail)
        super().__init__(f"{code}: {self.detail}" if self.detail else code)
