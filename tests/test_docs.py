"""What README and docs/ claim, held where that is cheap."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings

from connections.orders import hand_over, receipts
from connections.stock import ingest, listing_files, reports
from connections.warehouses import inbox
from inventory_planner import drop

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")],
    key=lambda page: page.as_posix(),
)
DECISIONS = ROOT / "docs" / "decisions"
FORMATS = (ROOT / "docs" / "formats.md").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()

LINK = re.compile(r"\]\((?!https?://|mailto:)([^)\s]+)\)")
READ = re.compile(
    r'\benv_(?:str|bool|numbers?|number_if_set|list|secret)\(\s*"([A-Z_]+)"'
)
# docker-compose.yml makes the database's URLs of these; the product reads none of them.
FOR_COMPOSE = {"OWNER_DB_PASSWORD", "APP_DB_PASSWORD"}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """Return the anchors that a forge makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def rows_of_table(after: str) -> set[str]:
    """Return the names in the first column of the first table after a heading."""
    section = FORMATS.partition(f"\n## {after}")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Files, pictures and headings that a page names are there."""
    for target in LINK.findall(page.read_text()):
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def test_every_setting_is_explained_and_none_besides() -> None:
    """.env.example is the table of names: what is read is in it, and vice versa."""
    sources = [ROOT / "dropstream" / "settings.py", ROOT / "dropstream" / "env.py"]
    read = {name for file in sources for name in READ.findall(file.read_text())}
    told = set(re.findall(r"^#?([A-Z][A-Z_]+)=", EXAMPLE, re.MULTILINE))
    assert told - FOR_COMPOSE == read


def test_every_decision_is_listed_and_names_code_that_is_there() -> None:
    listed = LINK.findall((DECISIONS / "README.md").read_text())
    assert listed == sorted(p.name for p in DECISIONS.glob("[0-9]*.md"))
    for name in listed:
        text = (DECISIONS / name).read_text()
        where = text.partition("**Where:**")[2].partition("**Date:**")[0]
        paths = re.findall(r"`([\w/.]+)`", where)
        assert paths, name
        for path in paths:
            assert (ROOT / path).exists(), f"{name}: {path}"


def test_files_of_ours_hold_the_columns_that_the_formats_promise() -> None:
    assert ",".join(hand_over.HEADER) in FORMATS
    assert rows_of_table("Purchase orders") == set(hand_over.HEADER)
    stock = drop.STOCK_FILE
    assert ",".join(stock.select) in FORMATS
    assert rows_of_table("Stock for Inventory Planner") == set(stock.select)


def test_examples_of_the_formats_are_read() -> None:
    """The warehouse's programmer will start from them."""
    inventory, receipt, listing = (
        [line.split(",") for line in block.splitlines()]
        for block in re.findall(r"```csv\n((?:sku|receipt_id),.*?)```", FORMATS, re.S)
    )
    report = reports.Report()
    now = datetime.now(UTC)
    [levels] = reports.levels(iter(inventory), report, now, now)
    assert (len(levels.lines), report.bad_rows) == (2, 0)
    assert set(inventory[0]) == rows_of_table("Stock reports")
    (found,) = receipts.parse(iter(receipt))
    assert (found.external_id, len(found.lines)) == ("R-1", 2)
    assert set(receipt[0]) == rows_of_table("Receipts")
    columns = listing_files.HEADER
    assert tuple(listing[0]) == columns
    assert set(columns) == rows_of_table("Listings, imported and exported by people")
    assert f"at most {listing_files.LIMIT_BYTES >> 20} MB; no value" in FORMATS


def test_limits_of_the_formats_are_those_of_the_code() -> None:
    assert f"{reports.SKU_LENGTH} characters" in FORMATS
    assert f"{reports.FACILITY_LENGTH} characters" in FORMATS
    assert f"the first {reports.SHOWN_PROBLEMS} are kept" in FORMATS
    assert f"than {reports.BAD_ROWS_ALLOWED} or one in twenty" in FORMATS
    assert reports.BAD_SHARE_ALLOWED == 1 / 20
    report, receipt = inbox.REPORT_LIMIT_BYTES >> 20, inbox.RECEIPT_LIMIT_BYTES >> 20
    assert f"Stock reports at most {report} MiB, receipts {receipt} MiB" in FORMATS
    assert f"a line at most {inbox.LINE_LIMIT_BYTES >> 20} MiB" in FORMATS
    minutes = inbox.SETTLED_AFTER // timedelta(minutes=1)
    assert f"touched for {minutes} minutes" in FORMATS
    for prefix in (ingest.PREFIX, receipts.PREFIX, f"{hand_over.PREFIX}_"):
        assert f"`{prefix}*.csv`" in FORMATS


def test_every_queue_is_served_by_the_workers_that_the_docs_start() -> None:
    """Workers that leave one out run nothing, or nothing in time."""
    page = (ROOT / "docs" / "operations.md").read_text()
    compose = (ROOT / "docker-compose.yml").read_text()
    routes = [route["queue"] for route in settings.CELERY_TASK_ROUTES.values()]
    queues = {settings.CELERY_TASK_DEFAULT_QUEUE, *routes}
    for text, form in ((page, r"-Q ([\w,]+)"), (compose, r'"-Q", "([\w,]+)"')):
        served = [set(names.split(",")) for names in re.findall(form, text)]
        assert set.union(*served) == queues
        # One that is told to serve what people wait for also serves the clock.
        assert all("ticks" in names for names in served)
    told = page.partition("Queues are ")[2].partition(". ")[0]
    assert set(re.findall(r"`(\w+)`", told)) == queues


def test_the_first_screen_is_the_two_commands_and_a_picture() -> None:
    """Issue 2: what a visitor sees before scrolling."""
    screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:22])
    assert "python3 run.py " in screen
    assert "python3 run.py test" in screen
    assert re.search(r"^!\[[^\]]+\]\(docs/img/\w+\.png\)$", screen, re.MULTILINE)


def test_pictures_are_small_and_shown_somewhere() -> None:
    readme = (ROOT / "README.md").read_text()
    for picture in (ROOT / "docs" / "img").iterdir():
        assert picture.stat().st_size <= 200_000, picture.name
        assert f"(docs/img/{picture.name})" in readme
