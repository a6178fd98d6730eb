"""Words for people: what happened, what it means, what to do, and who does it.

One entry for each code of `wire/errors.py` and `problems.py`; one sentence for each
event of a timeline. Nothing else in the product words an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Text = str | Promise

STAFF = _("your team")
IP_PERSON = _("whoever sets up Inventory Planner")
WAREHOUSE = _("the warehouse")
NOBODY = _("nobody; it is tried again by itself")
US = _("DropStream support")


@dataclass(frozen=True)
class Message:
    """The four parts of every error (ux.md U11)."""

    happened: Text
    means: Text
    do: Text
    owner: Text

    @property
    def heals(self) -> bool:
        """Whether nobody has to do anything, as long as it is tried again."""
        return self.owner == NOBODY


_RETRIED = _("Nothing is lost. It is tried again, with growing pauses.")
_HELD = _("What had to be sent is kept and goes out once this is mended.")

MESSAGES: dict[str, Message] = {
    # --- Before a socket is connected
    "name_not_found": Message(
        _("The host name was not found."),
        _("It may be misspelt, or not be published yet."),
        _("Compare the host name with the one that you were given."),
        STAFF,
    ),
    "address_blocked": Message(
        _("This host is not on the public internet."),
        _("DropStream connects to public addresses only."),
        _("Ask for a host name that can be reached from the internet."),
        STAFF,
    ),
    "host_name_invalid": Message(
        _("This is not a host name."),
        _("A full name such as files.example.com is needed, not an address."),
        _("Correct the host name."),
        STAFF,
    ),
    "port_not_allowed": Message(
        _("This port is not allowed."),
        _("SFTP is used on the ports that your administrator allows, usually 22."),
        _("Leave the port out, or ask for one that is allowed."),
        STAFF,
    ),
    # --- The network
    "connect_timeout": Message(
        _("The host did not answer in time."),
        _("It may be down, or a firewall keeps us out."),
        _("Ask the other side whether it accepts connections from DropStream."),
        STAFF,
    ),
    "connect_refused": Message(
        _("The host refused the connection."),
        _("It is there, but no SFTP server listens on this port."),
        _("Compare host and port with what you were given."),
        STAFF,
    ),
    "network_lost": Message(
        _("The connection broke off."), _RETRIED, _("Wait for the next try."), NOBODY
    ),
    "deadline_exceeded": Message(
        _("It took too long and was ended."),
        _RETRIED,
        _("Wait for the next try."),
        NOBODY,
    ),
    # --- SSH
    "handshake_timeout": Message(
        _("The server did not finish saying hello."),
        _("It is busy, or it is not an SFTP server."),
        _("Compare host and port with what you were given."),
        STAFF,
    ),
    "handshake_failed": Message(
        _("No secure connection could be agreed on."),
        _("The server offers only methods that are no longer safe, or no SSH at all."),
        _("Ask the other side to allow current SSH algorithms."),
        STAFF,
    ),
    "host_key_unknown": Message(
        _("This server's key has not been approved yet."),
        _("Nothing was sent. The key tells you that the server is the right one."),
        _(
            "Compare its fingerprint with the one that the server's own people tell "
            "you, then approve it where the connection is tested."
        ),
        STAFF,
    ),
    "host_key_changed": Message(
        _("The server shows another key than the approved one."),
        _("Either its key was renewed, or somebody is in between. Nothing is sent."),
        _("Ask the other side about it; approve the new key only if they confirm it."),
        STAFF,
    ),
    "auth_refused": Message(
        _("The server did not let us in."),
        _("User name, password or registered public key is not the one it knows."),
        _(
            "Check the user name, and that this store's public key is registered in the "
            "Advanced CSV connection; for a warehouse, check the password."
        ),
        STAFF,
    ),
    "too_many_connections": Message(
        _("The server has too many connections open."),
        _RETRIED,
        _("Wait for the next try."),
        NOBODY,
    ),
    "private_key_invalid": Message(
        _("This store's private key cannot be read."),
        _("Nothing can be sent for this store."),
        _("Tell DropStream support; do not make a new key."),
        US,
    ),
    # --- SFTP
    "sftp_unavailable": Message(
        _("Logged in, but the server did not offer SFTP."),
        _("The account may be limited, or the server is busy."),
        _("Ask the other side to allow SFTP for this user."),
        STAFF,
    ),
    "permission_denied": Message(
        _("The server does not allow this."),
        _("The folder, or a file in it, cannot be read or written by this user."),
        _("Ask for read and write access to the folder."),
        STAFF,
    ),
    "folder_missing": Message(
        _("A folder is not there."),
        _("Files are exchanged in /in and /out, and DropStream never makes folders."),
        _("Ask the warehouse to create the folder."),
        WAREHOUSE,
    ),
    "no_such_file": Message(
        _("A file or folder is not there."),
        _("It was taken away, or the folder has another name."),
        _("Check the folder's name with the other side."),
        STAFF,
    ),
    "file_exists": Message(
        _("A file of that name exists already."),
        _("Foreign files are never overwritten."),
        _("Wait for the next try; it uses another name."),
        NOBODY,
    ),
    "disk_full": Message(
        _("The other side's disk is full."),
        _RETRIED,
        _("Ask the other side to make room."),
        STAFF,
    ),
    "remote_failure": Message(
        _("The server reported a failure."),
        _RETRIED,
        _("Wait for the next try."),
        NOBODY,
    ),
    "size_mismatch": Message(
        _("The file arrived with another size."),
        _("It is not counted as delivered and is sent again."),
        _("Wait for the next try."),
        NOBODY,
    ),
    "file_too_large": Message(
        _("The file is too large to be read."),
        _("It was left where it is."),
        _("Ask the warehouse to send smaller files."),
        WAREHOUSE,
    ),
    # --- HTTP
    "api_key_refused": Message(
        _("Inventory Planner refused the API key or the account id."),
        _("Keys belong to a user and work only for users with full access."),
        _("Check the API Key and the Account ID, and that user's access."),
        STAFF,
    ),
    "api_not_found": Message(
        _("Inventory Planner does not know this address."),
        _("Its API may have changed."),
        _("Tell DropStream support."),
        US,
    ),
    "api_throttled": Message(
        _("Inventory Planner asks us to slow down."),
        _RETRIED,
        _("Wait for the next try."),
        NOBODY,
    ),
    "api_server_error": Message(
        _("Inventory Planner answered with an error."),
        _RETRIED,
        _("Wait for the next try."),
        NOBODY,
    ),
    "api_error_answer": Message(
        _("Inventory Planner did not accept this."),
        _("Its answer says why; see the details."),
        _("Correct it in Inventory Planner, then run it again."),
        IP_PERSON,
    ),
    "api_unexpected_answer": Message(
        _("Something answered that is not Inventory Planner's API."),
        _("Often a block or an outage on the way. It is never taken for “no orders”."),
        _("Wait for the next try."),
        NOBODY,
    ),
    "api_too_large": Message(
        _("The answer was too large to be read."),
        _("It was not used."),
        _("Set an Import Status Filter, so that fewer orders match."),
        STAFF,
    ),
    "api_redirect": Message(
        _("Inventory Planner sent us to another address."),
        _("The key is never sent elsewhere, so the request was dropped."),
        _("Tell DropStream support."),
        US,
    ),
    "api_timeout": Message(
        _("Inventory Planner did not answer in time."),
        _RETRIED,
        _("Wait for the next try."),
        NOBODY,
    ),
    "api_header_invalid": Message(
        _("The API Key or the Account ID holds characters that cannot be sent."),
        _("No request was made."),
        _("Copy both again from Inventory Planner."),
        STAFF,
    ),
    "tls_failed": Message(
        _("The certificate of Inventory Planner's address could not be verified."),
        _("No request was made."),
        _("Tell DropStream support."),
        US,
    ),
    # --- Settings
    "connection_string_invalid": Message(
        _("The connection string is not complete."),
        _("There is nothing to test yet."),
        _("Enter it as sftp://username:password@hostname:port."),
        STAFF,
    ),
    "endpoint_missing": Message(
        _("The SFTP endpoint is not set yet."),
        _("Stock cannot be delivered until it is; nothing is lost meanwhile."),
        _("Add it, or send the public key to whoever sets up Inventory Planner."),
        IP_PERSON,
    ),
    "api_key_missing": Message(
        _("The API key is not set yet."),
        _("Purchase orders cannot be imported until it is."),
        _("Add the API Key to the store."),
        STAFF,
    ),
    "account_id_missing": Message(
        _("The account id is not set yet."),
        _("Inventory Planner needs it beside the API key."),
        _("Add the Account ID to the store."),
        STAFF,
    ),
    "account_id_letter": Message(
        _("Inventory Planner knows this account with an a before the number."),
        _("With it the API key was accepted; without it, refused."),
        _("Put the letter a in front of the Account ID, then test again."),
        STAFF,
    ),
    "warehouse_settings_missing": Message(
        _("The warehouse has no connection string."),
        _("Neither stock nor orders can be exchanged."),
        _("Add the connection string to the warehouse."),
        STAFF,
    ),
    "secret_unreadable": Message(
        _("A stored secret does not open with the configured keys."),
        _("Nothing was overwritten; with the right key all is as before."),
        _("Tell whoever runs DropStream: a sealing key is missing."),
        US,
    ),
    # --- Files
    "report_refused": Message(
        _("A stock file was refused."),
        _("No level was changed by it; later files are read all the same."),
        _("Ask the warehouse to correct the file and send it under a new name."),
        WAREHOUSE,
    ),
    "report_late": Message(
        _("Most of a stock file is older than what the warehouse had reported."),
        _("Its older figures were left; newer ones stand."),
        _(
            "If the figures are right, ask the warehouse to check the clock and the time "
            "zone of its reports."
        ),
        WAREHOUSE,
    ),
    "file_unreadable": Message(
        _("A file of the warehouse cannot be read."),
        _("Its server does not give it to our log-in; the files after it were read."),
        _("Ask the warehouse to let our log-in read what it puts into its folder."),
        WAREHOUSE,
    ),
    "stock_not_reported": Message(
        _("The warehouse has not reported any stock yet."),
        _("There are no variants to tell Inventory Planner of; nothing was sent."),
        _("Send master data again once stock was reported."),
        WAREHOUSE,
    ),
    "vendor_currency_missing": Message(
        _("The currency of the placeholder vendor is not set yet."),
        _("Inventory Planner takes no warehouses and variants without a vendor."),
        _("Add the currency to the store."),
        STAFF,
    ),
    "stock_folder_unknown": Message(
        _("The folder for one of our files was not found at Inventory Planner."),
        _("A file in a wrong folder would vanish silently, so nothing was sent."),
        _("Compare the folder names in the details with the store's stock folder."),
        STAFF,
    ),
    "stock_rows_left_out": Message(
        _("Some rows were left out of a file."),
        _(
            "Inventory Planner would have dropped them in silence; the others were sent."
        ),
        _(
            "Correct what the details name: the listing, the location link or the "
            "warehouse's own figure. The next full inventory update looks at all again."
        ),
        STAFF,
    ),
    "file_invalid": Message(
        _("A file of ours broke Inventory Planner's rules, so it was not sent."),
        _("Inventory Planner would have skipped it in silence. Nothing is lost."),
        _("Tell DropStream support."),
        US,
    ),
    "name_taken": Message(
        _("A foreign file had the name of ours."),
        _("It was not touched; the next try uses a new name."),
        _("Wait for the next try."),
        NOBODY,
    ),
    "delivery_unknown": Message(
        _("Nobody can tell whether a file arrived."),
        _(
            "It was sent, the answer got lost, and it can no longer be seen where it "
            "was sent to."
        ),
        _("Nothing is lost: its figures are sent again in a new file."),
        NOBODY,
    ),
    "cut_off_missed": Message(
        _("A stock file missed tonight's sync of Inventory Planner."),
        _("What is uploaded after the cut-off is read a night later."),
        _("Nothing is lost. See the connection's status for what held the file up."),
        STAFF,
    ),
    "not_confirmed": Message(
        _("Inventory Planner does not show what was uploaded."),
        _(
            "Its sync skips a file or a row without a word; or another connection "
            "adds stock to the same variants there."
        ),
        _(
            "Open the file to see which variants differ. Then run a full inventory "
            "update; it is looked up again after the next sync."
        ),
        STAFF,
    ),
    # --- Orders
    "other_account": Message(
        _("The API answers for another account of Inventory Planner."),
        _(
            "None of this store's orders is there. Nothing was imported: a store never "
            "holds the orders of two accounts."
        ),
        _(
            "Correct API Key and Account ID, or make a store of its own for the other "
            "account. If the orders were really deleted there, archive them here."
        ),
        STAFF,
    ),
    "orders_unreadable": Message(
        _("Orders from Inventory Planner could not be read."),
        _("They are listed with the reason; all others were imported."),
        _("Open each of them, correct it in Inventory Planner, or archive it here."),
        STAFF,
    ),
    "order_differs": Message(
        _("An order was changed after it was sent to the warehouse, or edited here."),
        _("What was sent or edited stands; the change was only recorded."),
        _(
            "See what differs on the order's page; tell the warehouse, or edit the order."
        ),
        STAFF,
    ),
    "order_in_doubt": Message(
        _("Nobody can tell whether an order's file arrived at the warehouse."),
        _(
            "It is not sent again by itself, or the warehouse might receive the order "
            "twice."
        ),
        _(
            "Ask the warehouse whether it has the order. Then say so on the order's page, "
            "or send it again from there."
        ),
        STAFF,
    ),
    "order_not_ready": Message(
        _("This order is not one to hand over by file just now."),
        _("It is held, finished, or its warehouse fetches orders by itself."),
        _("See the order's status."),
        STAFF,
    ),
    "order_readonly": Message(
        _("This order cannot be edited in Inventory Planner."),
        _("It was saved to another system, so nothing was written back."),
        _("Receive it in Inventory Planner by hand."),
        IP_PERSON,
    ),
    "order_gone": Message(
        _("This order no longer exists in Inventory Planner."),
        _("There is nothing to write back to."),
        _("Check with whoever deleted it."),
        IP_PERSON,
    ),
    "order_moved_there": Message(
        _("Somebody closed or cancelled this order in Inventory Planner."),
        _("Their decision was not overwritten."),
        _("Check the order there; correct it by hand if goods have arrived."),
        IP_PERSON,
    ),
    "echo_mismatch": Message(
        _("Inventory Planner did not keep what was written."),
        _("Two tries were made; there will be no third."),
        _("Check that the status exists there, spelt the same, then Reprocess."),
        STAFF,
    ),
    "order_lines_ambiguous": Message(
        _("Two lines of this order have the same id."),
        _("It cannot be told which one received how much."),
        _("Enter the received quantities in Inventory Planner by hand."),
        IP_PERSON,
    ),
    # --- Found by looking
    "nothing_delivered": Message(
        _("This has not succeeded for several of its intervals."),
        _("Data may be out of date on the other side. What is due is kept."),
        _(
            "See the connection's status for the cause; run it now. If nothing starts, "
            "tell DropStream support."
        ),
        STAFF,
    ),
    # --- Ourselves
    "worker_lost": Message(
        _("The worker stopped in the middle, several times."),
        _("What was sent is looked up before anything is sent again."),
        _("Run it now; tell DropStream support if it happens again."),
        US,
    ),
    "database_away": Message(
        _("Our own database was away for a moment."),
        _RETRIED,
        _("Wait for the next try; tell DropStream support if it happens again."),
        US,
    ),
    "internal_error": Message(
        _("Something broke on our side."),
        _("Nothing was lost. The error was logged."),
        _("Run it now; tell DropStream support if it happens again."),
        US,
    ),
}


# What follows by itself, after an error's words.
NEXT_TRY = _("Next try: %(when)s.")
BREAKER_OPEN = _("It failed several times in a row and is tried seldom now.")
NEXT_LOOK = _("Once it is mended it goes on by itself; next look: %(when)s.")
RUN_NOW = _("Run now does not wait for it.")
LAST_TRY = _("It was tried for the last time.")
REPLAY = _("Replay it once this is mended; the schedule goes on as well.")


def explain(code: str) -> Message:
    """The words of a code. Raises KeyError for one that has none."""
    return MESSAGES[code]


# What holds a New order back; the codes are those of PurchaseOrder.Held.
HOLDS: dict[str, Message] = {
    "no_route": Message(
        _("No connection of the store takes orders for this warehouse."),
        _("It is never guessed where an order goes."),
        _("Choose a warehouse."),
        STAFF,
    ),
    "not_sendable": Message(
        _("It is a draft, closed or cancelled in Inventory Planner."),
        _("Such orders are not meant for a warehouse."),
        _("Once its status changes there it goes on by itself."),
        IP_PERSON,
    ),
    "sent_before": Message(
        _("It was sent to the warehouse before."),
        _("Sent twice it may be received twice."),
        _("Say whether it is to be sent again."),
        STAFF,
    ),
    "off_period": Message(
        _("It was made while the connection was off."),
        _("Such orders are not fetched later by themselves."),
        _("Import it anyway, or archive it."),
        STAFF,
    ),
    "restored": Message(
        _("It was perhaps sent before the database was restored."),
        _("Sent twice it may be received twice."),
        _("Ask the warehouse whether it has the order, then say so."),
        STAFF,
    ),
    "line_error": Message(
        _("A line has no SKU or quantity."),
        _("The warehouse could not receive it."),
        _("Correct the line in Inventory Planner, or here with Edit."),
        STAFF,
    ),
}

# What ends a receipt's error.
NO_ORDER = Message(
    _("The order is not known here."),
    _("What has come counts on no order."),
    _(
        "It counts by itself once the order is imported. If the number is wrong, ask the "
        "warehouse for a new receipt, and archive this one."
    ),
    STAFF,
)
REFUSED_FILE = Message(
    _("The file could not be read."),
    _("Nothing of it counts."),
    _(
        "Ask the warehouse to correct it and to send it under a new name; or under this "
        "one, then Reprocess."
    ),
    WAREHOUSE,
)

# Why an action on an order or a receipt cannot be.
REFUSALS: dict[str, Text] = {
    "on_its_way": _(
        "Its file is on its way to the warehouse. Try again once it has arrived."
    ),
    "was_sent": _("It was sent to the warehouse. Archive it first, then delete it."),
    "is_archived": _("It is archived already."),
    "has_receipts": _("It has receipts: only an order without any can be reset."),
    "choose_warehouse": _("No connection takes it. Open it and choose a warehouse."),
    "asks_first": _("It is on hold and asks something. Open it to answer."),
    "not_sendable": _(
        "It is a draft, closed or cancelled in Inventory Planner. Change it there."
    ),
    "line_error": _("A line has no SKU or quantity. Correct it first."),
    "unreadable": _("It still cannot be read. Correct it in Inventory Planner."),
    "has_warehouse": _("It has a warehouse already."),
    "is_sent": _("It is at the warehouse: it cannot be edited any more."),
    "order_unknown": _("Its order is still not known here."),
}

# What people decided about an order or a receipt, as its timeline says it.
DECISIONS: dict[str, Text] = {
    "order.archived": _("Archived: neither sent nor imported again."),
    "order.reprocessed": _("Reprocess: the latest step was tried again."),
    "order.reset": _("Reset: as if it had just been imported."),
    "order.edited": _("Edited by hand."),
    "order.imported_anyway": _("Import anyway: it goes to the warehouse."),
    "order.sent_again": _("To be sent again, although it was sent before."),
    "order.kept_as_sent": _("The warehouse has it: it is not sent again."),
    "order.routed": _("A warehouse was chosen."),
    "order.handed_out": _("Handed over: its file was downloaded."),
    "order.received_by_hand": _("A receipt was entered by hand."),
    "receipt.archived": _("Archived: it does not count on its order any more."),
    "receipt.reprocessed": _("Reprocess: tried again."),
    "receipt.reset": _("Reset: matched with its order anew."),
}

# Events of a connection's timeline: the tone and the sentence, with its facts.
EVENTS: dict[str, tuple[str, Text]] = {
    "stock_read": (
        "ok",
        _(
            "Stock file %(file)s read: %(rows)s rows, one for each SKU and facility; "
            "%(changed)s levels changed."
        ),
    ),
    "stock_late": (
        "warn",
        _(
            "%(late)s figures of %(file)s are older than what was stored, and were left."
        ),
    ),
    "stock_refused": ("bad", _("Stock file %(file)s refused: %(reason)s.")),
    "stock_sent": (
        "ok",
        _("%(rows)s stock rows uploaded as %(file)s."),
    ),
    "stock_confirmed": (
        "ok",
        _("Inventory Planner shows what was uploaded as %(file)s."),
    ),
    "stock_not_confirmed": (
        "bad",
        _("Inventory Planner does not show what was uploaded as %(file)s."),
    ),
    "cut_off_missed": (
        "warn",
        _("%(file)s missed the cut-off: tomorrow night's sync reads it."),
    ),
    "master_data_sent": (
        "ok",
        _("%(rows)s rows of master data uploaded as %(file)s."),
    ),
    "order_imported": ("ok", _("Purchase order %(number)s imported.")),
    "order_routed": ("ok", _("A connection takes purchase order %(number)s now.")),
    "order_changed": ("info", _("Purchase order %(number)s changed there.")),
    "order_changed_after": (
        "warn",
        _("Purchase order %(number)s changed there after it was sent: %(status)s."),
    ),
    "order_differs": (
        "warn",
        _("Purchase order %(number)s was changed there: %(difference)s."),
    ),
    "order_unreadable": (
        "bad",
        _("Order %(number)s could not be read and was set aside: %(reason)s."),
    ),
    "order_sent": (
        "ok",
        _("Purchase order %(number)s sent to the warehouse as %(file)s."),
    ),
    "order_delayed": (
        "warn",
        _("Purchase order %(number)s is past its due date, and not fully received."),
    ),
    "order_received": ("ok", _("Receipt %(receipt)s for purchase order %(number)s.")),
    "order_received_by_hand": (
        "ok",
        _("A receipt for purchase order %(number)s was entered by hand."),
    ),
    "order_closed": (
        "warn",
        _(
            "Purchase order %(number)s was closed: nothing happened to it for "
            "%(days)s days, and not all of it was received."
        ),
    ),
    "order_quantities_sent": (
        "ok",
        _("Received quantities of %(number)s written to Inventory Planner."),
    ),
    "order_received_too_much": (
        "warn",
        _(
            "More of %(number)s was received than ordered; Inventory Planner takes no "
            "more than what was ordered."
        ),
    ),
    "order_acknowledged": (
        "ok",
        _("Purchase order %(number)s is %(status)s in Inventory Planner."),
    ),
    "order_write_refused": (
        "bad",
        _("Purchase order %(number)s could not be written back."),
    ),
    "receipt_refused": ("bad", _("Receipt file %(file)s refused: %(reason)s.")),
    "restored": (
        "warn",
        _(
            "The database was restored from a backup. Files sent since may come twice "
            "under one name; orders that were perhaps sent are held."
        ),
    ),
    "run_stopped": ("bad", _("%(job)s stopped.")),
}

# Named checks, as the check list shows them.
CHECKS: dict[str, Text] = {
    "api": _("API key and account"),
    "reach": _("Server reached"),
    "host_key": _("Server's key approved"),
    "log_in": _("Logged in"),
    "folders": _("Folders found"),
    "settings": _("Settings complete"),
    "internal": _("Test run"),
}


def tell(event: str, facts: Mapping[str, Any]) -> tuple[str, str]:
    """Return tone and sentence of a timeline event."""
    tone, sentence = EVENTS[event]
    shown = {name: _shown(fact) for name, fact in facts.items()}
    return tone, str(sentence) % shown


def _shown(fact: Any) -> Any:
    """Counts read as 10,000; whatever is text stays as it is."""
    return number_format(fact, force_grouping=True) if type(fact) is int else fact
