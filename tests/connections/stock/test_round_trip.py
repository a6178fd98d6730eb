"""Whatever the stock is, the file that arrives says it to every strict reader."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from decimal import Decimal

import pytest
from django.db import connection as database
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from connections.models import Alert, Delivery, Location, StockLevel
from inventory_planner import columns
from tests.engine import run_now
from tests.factories import Line

Figures = dict[tuple[str, str], Decimal]

# Everything that a text column can hold; NUL and halves of pairs cannot be stored.
IDS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=256
)
FIGURES = st.decimals(
    min_value=-(10**15) + 1, max_value=10**15 - 1, places=4, allow_nan=False
)


def records(text: str) -> Iterator[list[str]]:
    """RFC 4180 to the letter, with LF: what it forbids raises ValueError."""
    at = 0
    while at < len(text):
        record = []
        while True:
            if text[at] == '"':
                cell, at = quoted(text, at + 1)
            else:
                end = min(e for c in ",\n" if (e := text.find(c, at)) >= 0)
                cell, at = text[at:end], end
                if '"' in cell or "\r" in cell:
                    raise ValueError(cell)
            record.append(cell)
            separator, at = text[at], at + 1
            if separator == "\n":
                break
            if separator != ",":
                raise ValueError(separator)
        yield record


def quoted(text: str, at: int) -> tuple[str, int]:
    """A quoted cell from after its first quote; returns where it ends."""
    cell = ""
    while True:
        end = text.index('"', at)
        cell += text[at:end]
        if text[end + 1] != '"':
            return cell, end + 1
        cell += '"'
        at = end + 2


def read_by_postgresql(data: bytes) -> list[list[str]]:
    with database.cursor() as cursor:
        names = ", ".join(f'"{name}" text' for name in HEADER)
        cursor.execute(f"CREATE TEMP TABLE back ({names})")
        with cursor.copy("COPY back FROM STDIN (FORMAT csv, HEADER match)") as copy:
            copy.write(data)
        cursor.execute("TABLE back")
        rows = [list(row) for row in cursor.fetchall()]
        cursor.execute("DROP TABLE back")
    return rows


HEADER = ["VARIANT_ID", "WAREHOUSE_ID", "IN_STOCK", "REMOVED", "UPDATED_AT"]


def store_levels(line: Line, figures: Figures) -> None:
    """Put them there as they are, past all that looks at what comes in."""
    StockLevel.objects.all().delete()
    now = timezone.now()
    StockLevel.objects.bulk_create(
        StockLevel(
            account=line.account,
            warehouse=line.warehouse,
            sku=sku,
            facility=facility,
            available=figure,
            reported_at=now,
            change_number=1,
            changed_at=now,
        )
        for (sku, facility), figure in figures.items()
    )


def is_sendable(variant: str, figure: Decimal) -> bool:
    """The rules once more, in other words."""
    printable = variant and not any(ord(c) < 32 or c == "\x7f" for c in variant)
    text = f"{figure:f}".replace("-", "").replace(".", "").strip("0")
    return bool(printable) and len(text) <= 15


@pytest.fixture
def elsewhere(line: Line) -> str:
    """A location whose id has all that makes CSV hard."""
    name = 'Lager "Süd", 2 = 💧'
    Location.objects.create(
        account=line.account,
        connection=line.connection,
        facility="DALLAS",
        location_id=name,
    )
    line.clear_reports()
    return name


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.tuples(IDS, st.sampled_from(["RENO", "DALLAS"])), FIGURES, max_size=12
    )
)
@example({("=1+1", "RENO"): Decimal("-0.5"), ('"', "RENO"): Decimal("0.0001")})
@example({("x" * 256, "RENO"): Decimal(1), ("💧" * 256, "DALLAS"): Decimal("99.5")})
@example({("a\nb", "RENO"): Decimal(1), ("", "RENO"): Decimal(1)})
@example({("\\.", "RENO"): Decimal(1), (" a ", "RENO"): Decimal(10**15 - 1)})
def test_a_file_reads_back_equal_everywhere(
    line: Line, elsewhere: str, figures: Figures
) -> None:
    """Python's csv, PostgreSQL's COPY, a strict reader, and the sandbox's importer."""
    store_levels(line, figures)
    account = line.sandbox.ip.accounts["123456"]
    account.stock.clear()
    account.variants |= {sku: sku for sku, _facility in figures}
    account.warehouses |= {"WH1", elsewhere}
    places = {"RENO": "WH1", "DALLAS": elsewhere}
    wanted = {
        (sku, places[facility]): figure
        for (sku, facility), figure in figures.items()
        if is_sendable(sku, figure)
    }
    run = run_now(line.stock, "stock_full")
    assert run.state == "succeeded"
    assert run.counts.get("rows_left_out", 0) == len(figures) - len(wanted)
    if not wanted:
        assert line.dropped() == []
        return
    [data] = line.dropped()
    [report] = line.sandbox.ip.sync_now("123456")
    assert (report.outcome, report.rows, report.dropped, report.doubled) == (
        "read",
        len(wanted),
        0,
        0,
    )
    text = data.decode()
    rows = list(records(text))
    assert rows[0] == HEADER
    assert rows == list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert rows[1:] == read_by_postgresql(data)
    assert {(row[0], row[1]): Decimal(row[2]) for row in rows[1:]} == wanted
    assert {key: row.in_stock for key, row in account.stock.items()} == {
        key: float(figure) for key, figure in wanted.items()
    }


def test_a_row_that_would_be_dropped_is_told_on_every_page(
    line: Line, client: Client
) -> None:
    """The rest is sent; the row is named with its column and the reason."""
    line.clear_reports()
    line.report(
        "inv_1.csv",
        "sku,facility,available\nGOOD,RENO,1\nHUGE,RENO,123456789012345.6789\n",
    )
    run = run_now(line.stock, "stock_changes")
    assert (run.state, run.counts["rows_sent"]) == ("succeeded", 1)
    delivery = Delivery.objects.get()
    assert (delivery.rows, delivery.left_out) == (1, 1)
    assert delivery.rules == columns.VERSION
    assert delivery.problems == [
        {
            "row": 2,
            "key": ["HUGE", "WH1"],
            "column": "IN_STOCK",
            "reason": "is not a number that a FLOAT holds exactly",
        }
    ]
    client.force_login(line.person)
    for name, of in (("page", line.connection), ("store", line.store)):
        page = client.get(reverse(f"connections:{name}", args=[of.public_id]))
        text = page.content.decode()
        assert "Some rows were left out of a file." in text
        assert "Row 2, HUGE @ WH1: IN_STOCK is not a number that a FLOAT" in text


def test_the_alert_stays_until_a_full_update_finds_nothing(line: Line) -> None:
    """An update of what changed looks at few rows: its success proves nothing."""
    line.clear_reports()
    line.report("inv_1.csv", f"sku,available\nA,1\nB,{10**14}.5\n")
    run_now(line.stock, "stock_changes")
    line.report("inv_2.csv", "sku,available\nA,2\n")
    run_now(line.stock, "stock_changes")
    alert = Alert.objects.get(code="stock_rows_left_out")
    assert (alert.closed_at, alert.count) == (None, 1)
    run_now(line.stock, "stock_full")
    alert.refresh_from_db()
    assert (alert.closed_at, alert.count) == (None, 2)
    line.report("inv_3.csv", "sku,available\nB,1\n")
    run_now(line.stock, "stock_full")
    alert.refresh_from_db()
    assert alert.closed_at is not None


def test_nothing_but_bad_rows_sends_no_file_and_is_told(line: Line) -> None:
    line.clear_reports()
    line.report("inv_1.csv", f"sku,available\nB,{10**14}.5\n")
    run = run_now(line.stock, "stock_changes")
    assert (run.state, run.counts["rows_left_out"]) == ("succeeded", 1)
    assert not Delivery.objects.exists()
    assert Alert.objects.open().get().code == "stock_rows_left_out"
    assert line.stock.sent_through == 1
