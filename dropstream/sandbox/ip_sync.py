"""The nightly sync: reads the files of an account's drops and never complains to it.

A bad file is skipped and a bad row dropped in silence, as the real one does; only the
operator's report says why.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dropstream.sandbox.ip_columns import (
    FOLDERS,
    Columns,
    cell_problem,
    header_problem,
)

if TYPE_CHECKING:
    from dropstream.sandbox.ip import Account

EXAMPLES_KEPT = 10
ARCHIVE_KEPT = 300

Row = dict[str, str]


@dataclass
class FileReport:
    """What became of one file: ``read`` with its rows, or ``skipped`` and why."""

    endpoint: str
    folder: str
    name: str
    size: int
    sha256: str
    uploaded_at: float
    read_at: float
    outcome: str = "read"
    reason: str = ""
    rows: int = 0
    dropped: int = 0
    doubled: int = 0
    examples: list[str] = field(default_factory=list)
    path: str = field(default="", repr=False)

    def drop_row(self, number: int, why: str) -> None:
        """Count a row that was not taken and keep the first reasons."""
        self.dropped += 1
        if len(self.examples) < EXAMPLES_KEPT:
            self.examples.append(f"row {number}: {why}")


def run(
    account: Account, folder_names: dict[str, str], lead_s: float
) -> list[FileReport]:
    """Read every file uploaded at least ``lead_s`` ago; return what became of each."""
    latest = time.time() - lead_s
    reports = []
    for entity in FOLDERS:
        for path, endpoint in _waiting(account, folder_names[entity], latest):
            reports.append(_read(account, entity, path, endpoint))
    return reports


def archive(account: Account, reports: list[FileReport]) -> None:
    """Move the consumed files out of their client's sight and forget old ones."""
    for report in reports:
        # The end of the name only: the client's may be as long as a name can be.
        name = f"{report.read_at:.6f}_{report.folder}_{report.name[-40:]}"
        os.replace(report.path, account.archive / name)
    kept = sorted(account.archive.iterdir())
    for path in kept[:-ARCHIVE_KEPT]:
        path.unlink()


def _waiting(account: Account, folder: str, latest: float) -> list[tuple[Path, str]]:
    found = []
    for drop in account.drops:
        for path in (drop.folder / folder).glob("*.csv"):
            uploaded = path.stat().st_mtime
            if uploaded <= latest and path.is_file():
                found.append((uploaded, path.name, path, drop.endpoint))
    return [(path, endpoint) for _, _, path, endpoint in sorted(found)]


def _read(account: Account, entity: str, path: Path, endpoint: str) -> FileReport:
    content = path.read_bytes()
    report = FileReport(
        endpoint=endpoint,
        folder=path.parent.name,
        name=path.name,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        uploaded_at=path.stat().st_mtime,
        read_at=time.time(),
        path=str(path),
    )
    columns = FOLDERS[entity]
    try:
        rows = _parse(columns, content)
    except (ValueError, csv.Error) as error:
        report.outcome, report.reason = "skipped", str(error)
        return report
    seen: set[tuple[str, ...]] = set()
    for number, row in enumerate(rows, start=2):
        problem = _row_problem(account, entity, columns, row)
        if problem:
            report.drop_row(number, problem)
            continue
        key = tuple(row[name] for name in list(columns.required)[:2])
        report.doubled += key in seen
        seen.add(key)
        report.rows += 1
        _take(account, entity, row, path.name)
    return report


def _parse(columns: Columns, content: bytes) -> list[Row]:
    """Return the rows; ValueError or csv.Error when the whole file is no good."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    if text.startswith("\ufeff"):
        raise ValueError("starts with a byte order mark")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = next(reader, [])
    problem = header_problem(columns, header)
    if problem:
        raise ValueError(problem)
    rows = []
    for cells in reader:
        if len(cells) != len(header):
            raise ValueError(
                f"line {reader.line_num} has {len(cells)} cells, not {len(header)}"
            )
        rows.append(dict(zip(header, cells, strict=True)))
    return rows


def _row_problem(account: Account, entity: str, columns: Columns, row: Row) -> str:
    for column, text in row.items():
        problem = cell_problem(columns, column, text)
        if problem:
            return problem
    if entity in {"variant", "warehouse", "vendor", "stock_order_status"}:
        return ""
    return _unknown(account, row)


def _unknown(account: Account, row: Row) -> str:
    """Return which id of the row IP has never heard of."""
    for column in ("VARIANT_ID", "COMPONENT_VARIANT_ID"):
        if column in row and row[column] not in account.variants:
            return f"unknown {column} {row[column][:40]!r}"
    for column in ("WAREHOUSE_ID", "WAREHOUSE"):
        if column in row and row[column] not in account.warehouses:
            return f"unknown {column} {row[column][:40]!r}"
    if "VENDOR_ID" in row and row["VENDOR_ID"] not in account.vendors:
        return f"unknown VENDOR_ID {row['VENDOR_ID'][:40]!r}"
    return ""


def _take(account: Account, entity: str, row: Row, file: str) -> None:
    """Put one good row into what IP knows; other entities are only counted."""
    if entity == "warehouse":
        account.warehouses.add(row["WAREHOUSE_ID"])
    elif entity == "vendor":
        account.vendors.add(row["VENDOR_ID"])
    elif entity == "variant":
        account.variants[row["VARIANT_ID"]] = row["TITLE"]
    elif entity == "variant_warehouse":
        account.take_stock(row, file)
