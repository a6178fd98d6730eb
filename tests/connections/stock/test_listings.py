"""What is sent under which id: listings, bundles and locations (dropstream.md §5)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from decimal import Decimal
from math import floor
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from connections.models import Channel, Connection, FormerSource, Listing
from connections.stock import levels, listings, locations
from connections.stock.listings import RefusedListingsError, Row
from stores.models import AuditEvent, Store, Warehouse
from tests import engine, factories
from tests.lab.locks import wait_for_waiting

LONGEST_S = 10
Place = tuple[str, str]


@pytest.fixture
def line(db: None) -> Connection:
    """A connection that is on, without any far side."""
    return connected()


def connected(*, on: bool = True) -> Connection:
    merchant = factories.merchant(factories.account())
    return factories.connection(
        factories.store(merchant), factories.warehouse(merchant), on=on
    )


def report(to: Warehouse, *rows: str) -> None:
    """`SKU@FACILITY=available`, as the warehouse reports it now."""
    lines = [text.replace("@", ",").replace("=", ",") for text in rows]
    engine.report(to, "\n".join(["sku,facility,available", *lines]))


def listed(sku: str, variant: str, **more: Any) -> Row:
    defaults: dict[str, Any] = {"line": 2, "channel_sku": variant}
    return Row(variant_id=variant, sku=sku, **(defaults | more))


def bundle(variant: str, **made_of: int) -> list[Row]:
    return [
        listed(variant, variant, line=n, component=sku, quantity=Decimal(quantity))
        for n, (sku, quantity) in enumerate(made_of.items(), start=2)
    ]


def retired(variant: str) -> Row:
    return Row(line=2, variant_id=variant, retired=True)


def change(store: Store, *rows: Row) -> dict[str, int]:
    return listings.change(store, rows, by=None).counts


def read(query: Any) -> dict[Place, Decimal]:
    """Levels by variant id and location; no pair comes twice."""
    if query is None:
        return {}
    with database.cursor() as cursor:
        cursor.execute(query)
        rows = cursor.fetchall()
    found = {(variant, place): available for variant, _, place, available, *_ in rows}
    assert len(found) == len(rows)
    assert list(found) == sorted(found)
    return found


class Platform:
    """What a store platform knows after some pushes, made as push.py makes them."""

    def __init__(self, line: Connection) -> None:
        self.line = line
        self.mark = 0
        self.known: dict[Place, Decimal] = {}

    def push(self, *, full: bool = False) -> dict[Place, Decimal]:
        warehouse = Warehouse.objects.get(pk=self.line.warehouse_id)
        if full or not self.mark:
            rows = read(levels.of_all(self.line))
        else:
            rows = read(levels.of_changed(self.line, self.mark))
        self.mark = warehouse.change_number
        self.known.update(rows)
        return rows

    def says(self, variant: str) -> Decimal | None:
        return self.known.get((variant, "WH1"))


# --- One thing at a time


def test_a_sku_without_a_listing_is_sent_as_it_is_reported(line: Connection) -> None:
    report(line.warehouse, "A@RENO=1", "A@DALLAS=2", "B@RENO=-3")
    assert read(levels.of_all(line)) == {("A", "WH1"): 3, ("B", "WH1"): -3}


def test_a_listing_is_sent_under_its_variant_id(line: Connection) -> None:
    """dropstream.md §5: under the listing's id, not the warehouse's SKU; several may
    sell one SKU."""
    change(line.store, listed("A", "V-1"), listed("A", "V-2", line=3))
    report(line.warehouse, "A@RENO=1.5")
    assert read(levels.of_all(line)) == {("V-1", "WH1"): 1.5, ("V-2", "WH1"): 1.5}
    with database.cursor() as cursor:
        cursor.execute(levels.of_all(line))
        assert cursor.fetchone()[:2] == ("V-1", "V-1")


def test_a_bundle_is_as_many_as_its_scarcest_component_allows(line: Connection) -> None:
    """dropstream.md §5's example: 10 bikes and 7 batteries make 3; per location."""
    change(line.store, *bundle("KIT", BIKE=1, BATTERY=2))
    locations.link(line, "DALLAS", "WH-D", by=None)
    report(line.warehouse, "BIKE@RENO=10", "BATTERY@RENO=7", "BIKE@DALLAS=5")
    found = read(levels.of_all(line))
    assert found[("KIT", "WH1")] == 3
    assert found[("KIT", "WH-D")] == 0
    assert found[("BIKE", "WH1")] == 10
    report(line.warehouse, "BATTERY@RENO=-1")
    assert read(levels.of_all(line))[("KIT", "WH1")] == -1


@pytest.mark.parametrize("most", [1, 2, 3])
def test_changes_are_the_same_however_many_there_are(
    line: Connection, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connections.stock.levels.NARROW_LIMIT", most)
    report(line.warehouse, "A@=1", "B@=2", "C@=3")
    assert levels.of_changed(line, 1) is None
    report(line.warehouse, "A@=1", "B@=5", "D@=6")
    assert read(levels.of_changed(line, 1)) == {("B", "WH1"): 5, ("D", "WH1"): 6}


def test_an_id_is_one_listings_even_when_a_sku_of_that_name_is_reported_later(
    line: Connection,
) -> None:
    """Never two rows for one id, never two kinds of goods added up."""
    change(line.store, listed("A", "B"))
    report(line.warehouse, "A@RENO=1", "B@RENO=50")
    assert read(levels.of_all(line)) == {("B", "WH1"): 1}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([listed("A", "V"), listed("B", "V", line=3)], "differ from line 2"),
        ([listed("A", "V"), listed("A", "V", line=3)], "stands on line 2 already"),
        ([*bundle("K", A=1), *bundle("K", A=2)], "component A stands on line 2"),
        ([listed("A", "B")], "SKU that the warehouse reports"),
        ([retired("NONE")], "no listing has the variant id NONE"),
    ],
)
def test_rows_at_odds_are_refused_and_nothing_changes(
    line: Connection, rows: list[Row], reason: str
) -> None:
    report(line.warehouse, "A@RENO=1", "B@RENO=2")
    rows = [replace(row, line=n) for n, row in enumerate(rows, start=2)]
    with pytest.raises(RefusedListingsError) as refused:
        change(line.store, listed("C", "C-1", line=9), *rows)
    [(at, words)] = refused.value.plan.problems
    assert reason in words
    assert at == rows[-1].line
    assert not Listing.objects.exists()
    assert not AuditEvent.objects.filter(action="listings.changed").exists()


def test_a_sku_must_not_come_back_under_an_id_that_is_another_listings(
    line: Connection,
) -> None:
    report(line.warehouse, "A@RENO=1", "B@RENO=2")
    change(line.store, listed("B", "X"), listed("A", "B", line=3))
    with pytest.raises(RefusedListingsError) as refused:
        change(line.store, retired("X"))
    assert "SKU B would be sent as it is reported again" in str(
        refused.value.plan.problems
    )
    assert change(line.store, retired("X"), retired("B")) == {"retired": 2}


def test_the_same_rows_again_change_nothing(line: Connection) -> None:
    report(line.warehouse, "A@RENO=1", "BIKE@RENO=1")
    rows = [listed("A", "V", title="Tea towel"), *bundle("KIT", BIKE=1, BATTERY=2)]
    assert change(line.store, *rows) == {"added": 2}
    number = Warehouse.objects.get().change_number
    assert change(line.store, *rows) == {"unchanged": 2}
    assert Warehouse.objects.get().change_number == number
    assert AuditEvent.objects.filter(action="listings.changed").count() == 1


def test_a_preview_says_what_a_change_would_do_and_does_nothing(
    line: Connection,
) -> None:
    change(line.store, listed("A", "V-1"), listed("B", "V-2", line=3))
    rows = [retired("V-1"), listed("C", "V-2", line=3), listed("D", "V-3", line=4)]
    plan = listings.preview(line.store, rows)
    assert plan.counts == {"retired": 1, "changed": 1, "added": 1}
    assert [(turn.kind, turn.before, turn.sku) for turn in plan.turns] == [
        ("retired", "A", "A"),
        ("changed", "B", "C"),
        ("added", "", "D"),
    ]
    assert Listing.objects.live().count() == 2
    assert change(line.store, *rows) == plan.counts


def test_another_store_is_not_touched(line: Connection) -> None:
    """T1: the same warehouse, the same ids."""
    other = factories.store(line.merchant, ip_account="654321")
    beside = factories.connection(other, line.warehouse)
    report(line.warehouse, "A@RENO=1")
    change(line.store, listed("A", "V"))
    assert read(levels.of_all(beside)) == {("A", "WH1"): 1}


def test_a_sku_is_sent_as_reported_again_when_its_id_is_free(line: Connection) -> None:
    """Where nothing of the listing lay, too."""
    platform = Platform(line)
    locations.link(line, "DALLAS", "WH-D", by=None)
    change(line.store, listed("A", "B"))
    report(line.warehouse, "A@RENO=1", "B@DALLAS=50")
    assert platform.push() == {("B", "WH1"): 1}
    change(line.store, retired("B"))
    assert platform.push() == {("A", "WH1"): 1, ("B", "WH1"): 0, ("B", "WH-D"): 50}


# --- What was sent does not stay


def test_what_a_listing_replaces_becomes_zero(line: Connection) -> None:
    """The SKU was sent as reported; the platform must not keep that figure."""
    platform = Platform(line)
    report(line.warehouse, "A@RENO=5", "B@RENO=7")
    platform.push()
    change(line.store, listed("A", "V"))
    assert platform.push() == {("A", "WH1"): 0, ("V", "WH1"): 5}
    assert platform.push() == {}


def test_a_retired_listing_is_kept_and_sent_as_zero(line: Connection) -> None:
    platform = Platform(line)
    report(line.warehouse, "A@RENO=5")
    change(line.store, listed("A", "V"))
    platform.push()
    change(line.store, retired("V"))
    assert platform.push() == {("A", "WH1"): 5, ("V", "WH1"): 0}
    assert not Listing.objects.get().is_live
    change(line.store, listed("A", "V"))
    assert platform.push() == {("A", "WH1"): 0, ("V", "WH1"): 5}
    assert Listing.objects.get().is_live


def test_nobody_heard_of_a_listing_of_a_connection_that_was_never_on(db: None) -> None:
    """Nothing is to be taken back then: no zero for an id that was never sent."""
    line = connected(on=False)
    report(line.warehouse, "A@RENO=5")
    change(line.store, listed("A", "V"), *bundle("KIT", A=2))
    change(line.store, retired("V"), retired("KIT"))
    assert not Listing.objects.exists()
    locations.link(line, "RENO", "WH-R", by=None)
    locations.link(line, "RENO", "WH-S", by=None)
    assert not FormerSource.objects.exists()
    assert read(levels.of_all(line)) == {("A", "WH-S"): 5}


def test_a_moved_facility_leaves_zero_behind(line: Connection) -> None:
    platform = Platform(line)
    report(line.warehouse, "A@RENO=5", "A@DALLAS=7", "B@DALLAS=1")
    platform.push()
    locations.link(line, "DALLAS", "WH-D", by=None)
    assert platform.push() == {
        ("A", "WH-D"): 7,
        ("A", "WH1"): 5,
        ("B", "WH-D"): 1,
        ("B", "WH1"): 0,
    }
    locations.unlink(line.locations.get(retired_at=None), by=None)
    assert platform.push() == {
        ("A", "WH-D"): 0,
        ("A", "WH1"): 12,
        ("B", "WH-D"): 0,
        ("B", "WH1"): 1,
    }
    assert platform.push() == {}


def test_two_connections_of_a_store_do_not_send_for_one_location(
    line: Connection,
) -> None:
    second = factories.warehouse(line.merchant, code="WH2")
    beside = factories.connection(line.store, second)
    for taken in ("WH2", "WH-D"):
        locations.link(beside, "F", "WH-D", by=None)
        with pytest.raises(locations.LocationTakenError):
            locations.link(line, "RENO", taken, by=None)


def test_a_location_passes_on_once_its_zeros_are_sent(line: Connection) -> None:
    """From then on only one of the two sends for it, not even zero from the other."""
    second = factories.warehouse(line.merchant, code="WH2")
    beside = factories.connection(line.store, second)
    report(line.warehouse, "A@DALLAS=7")
    for place in ("WH-D", "WH-E"):
        locations.link(line, "DALLAS", place, by=None)
    numbers = line.locations.values_list("location_id", "change_number")
    of_former = dict(numbers)["WH-D"]
    channel = line.channels.filter(type=Channel.Type.INVENTORY)
    channel.update(sent_through=of_former)
    with pytest.raises(locations.LocationTakenError):
        locations.link(beside, "F", "WH-D", by=None)
    channel.update(sent_through=max(dict(numbers).values()))
    locations.link(beside, "F", "WH-D", by=None)
    report(line.warehouse, "A@DALLAS=8")
    assert read(levels.of_all(line)) == {("A", "WH-E"): 8, ("A", "WH1"): 0}


def test_a_warehouse_takes_a_code_that_was_a_location_over(line: Connection) -> None:
    report(line.warehouse, "A@DALLAS=7")
    locations.link(line, "DALLAS", "WH2", by=None)
    locations.unlink(line.locations.get(retired_at=None), by=None)
    second = factories.warehouse(line.merchant, code="WH2")
    beside = factories.connection(line.store, second)

    def add() -> None:
        with transaction.atomic():
            locations.refuse_taken_code(beside)

    with pytest.raises(locations.LocationTakenError):
        add()
    line.channels.update(sent_through=99)
    add()
    assert read(levels.of_all(line)) == {("A", "WH1"): 7}


def test_of_two_links_to_one_location_at_once_the_second_is_refused(
    transactional_db: None,
) -> None:
    line = connected()
    second = factories.warehouse(line.merchant, code="WH2")
    beside = factories.connection(line.store, second)
    one, two = SlowCommit(), SlowCommit()
    two.go_on.set()
    with ThreadPoolExecutor() as pool:
        earlier = pool.submit(
            one.run, lambda: locations.link(beside, "F", "WH-D", by=None)
        )
        assert one.written.wait(LONGEST_S)
        later = pool.submit(
            two.run, lambda: locations.link(line, "RENO", "WH-D", by=None)
        )
        wait_for_waiting(1)
        one.go_on.set()
        earlier.result(LONGEST_S)
        with pytest.raises(locations.LocationTakenError):
            later.result(LONGEST_S)


def test_facilities_are_those_that_were_reported(line: Connection) -> None:
    assert locations.facilities([line.warehouse_id]) == []
    report(line.warehouse, "A@RENO=5", "A@DALLAS=7", "B@DALLAS=1", "C@=1")
    assert locations.facilities([line.warehouse_id]) == ["", "DALLAS", "RENO"]


# --- Everything at once, against a plain model

SKUS, VARIANTS = ("A", "B", "C"), ("A", "B", "C", "X", "Y")
FACILITIES = ("F", "G")
AMOUNTS = st.integers(-3, 9).map(Decimal)


@dataclass
class Model:
    """The rules of dropstream.md §5 in plain words of Python."""

    reported: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    listings: dict[str, tuple[str, dict[str, int]]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def levels(self) -> dict[Place, Decimal]:
        held: dict[Place, Decimal] = {}
        for (sku, facility), available in self.reported.items():
            at = (sku, self.links.get(facility, "WH1"))
            held[at] = held.get(at, Decimal(0)) + available
        masters = {sku for sku, _ in self.listings.values()}
        found = {
            (sku, place): available
            for (sku, place), available in held.items()
            if sku not in masters and sku not in self.listings
        }
        for variant, (sku, made_of) in self.listings.items():
            for place in {place for _, place in held}:
                if made_of and any((part, place) in held for part in made_of):
                    found[variant, place] = min(
                        Decimal(floor(held.get((part, place), Decimal(0)) / quantity))
                        for part, quantity in made_of.items()
                    )
                elif not made_of and (sku, place) in held:
                    found[variant, place] = held[sku, place]
        return found

    def doubled(self) -> set[str]:
        """Ids of listings that are SKUs, reported and listed by nobody."""
        masters = {sku for sku, _ in self.listings.values()}
        skus = {sku for sku, _ in self.reported}
        return (self.listings.keys() & skus) - masters


REPORTS = st.dictionaries(
    st.tuples(st.sampled_from(SKUS), st.sampled_from(FACILITIES)), AMOUNTS, min_size=1
)
BUNDLES = st.dictionaries(st.sampled_from(SKUS), st.integers(1, 3), max_size=2)
LISTINGS = st.dictionaries(
    st.sampled_from(VARIANTS),
    st.none() | st.tuples(st.sampled_from(SKUS), BUNDLES),
    min_size=1,
    max_size=2,
)
LINKS = st.tuples(
    st.sampled_from(FACILITIES), st.none() | st.sampled_from(("WH1", "L1", "L2"))
)
STEPS = st.lists(
    st.tuples(
        st.tuples(st.just("report"), REPORTS)
        | st.tuples(st.just("change"), LISTINGS)
        | st.tuples(st.just("link"), LINKS),
        st.sampled_from(["changes", "changes", "full", "later"]),
    ),
    min_size=3,
    max_size=10,
)


class House:
    """The product and the model side by side."""

    def __init__(self) -> None:
        self.line = connected()
        self.model = Model()
        self.platform = Platform(self.line)

    def report(self, rows: dict[tuple[str, str], Decimal]) -> None:
        report(
            self.line.warehouse,
            *(f"{sku}@{facility}={n}" for (sku, facility), n in rows.items()),
        )
        self.model.reported |= rows

    def change(self, ids: dict[str, tuple[str, dict[str, int]] | None]) -> None:
        after = dict(self.model.listings)
        rows: list[Row] = []
        for variant, what in ids.items():
            if what is None:
                rows += [retired(variant)] if after.pop(variant, None) else []
                continue
            sku, made_of = after[variant] = what
            rows += [
                listed(sku, variant, component=part, quantity=Decimal(quantity))
                for part, quantity in made_of.items()
            ] or [listed(sku, variant)]
        rows = [replace(row, line=n) for n, row in enumerate(rows, start=2)]
        wanted = Model(self.model.reported, after, self.model.links)
        try:
            change(self.line.store, *rows)
        except RefusedListingsError:
            assert wanted.doubled()
        else:
            assert wanted.doubled() <= self.model.doubled()
            self.model = wanted

    def link(self, pair: tuple[str, str | None]) -> None:
        facility, place = pair
        live = self.line.locations.filter(facility=facility, retired_at=None).first()
        if place is not None:
            locations.link(self.line, facility, place, by=None)
            self.model.links[facility] = place
        elif live is not None:
            locations.unlink(live, by=None)
            del self.model.links[facility]

    def push(self, *, full: bool) -> None:
        self.platform.push(full=full)
        expected, known = self.model.levels(), self.platform.known
        assert {at: known.get(at) for at in expected} == expected
        assert {at: n for at, n in known.items() if n and at not in expected} == {}
        assert self.platform.push() == {}

    def look(self) -> None:
        """Some ids, read alone, are what they are among all."""
        some = ["A", "X", "Y"]
        found = read(levels.of_variants(self.line, some))
        everything = read(levels.of_all(self.line)).items()
        assert found == {at: n for at, n in everything if at[0] in some}


@pytest.mark.django_db
@given(steps=STEPS)
@settings(max_examples=25)
def test_the_platform_knows_what_a_plain_model_says(steps: Any) -> None:
    """D17: after any push every level is there, and what moved away is zero."""
    with transaction.atomic():
        house = House()
        for (what, details), then in steps:
            getattr(house, what)(details)
            if then != "later":
                house.push(full=then == "full")
        house.look()
        transaction.set_rollback(True)


# --- At the same moment


class SlowCommit:
    """Work that is all written, and waits with its commit."""

    def __init__(self) -> None:
        self.written, self.go_on = threading.Event(), threading.Event()

    def run(self, work: Callable[[], object]) -> None:
        try:
            with transaction.atomic():
                work()
                self.written.set()
                assert self.go_on.wait(LONGEST_S)
        finally:
            database.close()


@pytest.mark.parametrize("first", ["report", "change", "link"])
@pytest.mark.parametrize("second", ["report", "change", "link"])
def test_changes_wait_for_each_other_and_no_push_skips_one(
    transactional_db: None, first: str, second: str
) -> None:
    """design.md §3, Stock: one is written and not committed while the other begins,
    with a push at every moment."""
    line = connected()
    platform = Platform(line)
    report(line.warehouse, "A@RENO=1", "B@RENO=1")
    platform.push()
    store = Store.objects.get()
    work: dict[str, Callable[[int], object]] = {
        "report": lambda n: report(line.warehouse, f"A@RENO={n}", f"B@RENO={n}"),
        "change": lambda n: change(store, listed("A", f"V{n}")),
        "link": lambda n: locations.link(line, "RENO", f"L{n}", by=None),
    }
    one, two = SlowCommit(), SlowCommit()
    with ThreadPoolExecutor() as pool:
        earlier = pool.submit(one.run, lambda: work[first](2))
        assert one.written.wait(LONGEST_S)
        later = pool.submit(two.run, lambda: work[second](3))
        assert platform.push() == {}
        assert not two.written.wait(0.2)  # it waits for its number
        one.go_on.set()
        earlier.result(LONGEST_S)
        assert two.written.wait(LONGEST_S)
        platform.push()
        two.go_on.set()
        later.result(LONGEST_S)
    platform.push()
    everything = read(levels.of_all(line))
    assert {at: n for at, n in platform.known.items() if n} == {
        at: n for at, n in everything.items() if n
    }
    assert everything.keys() <= platform.known.keys()


@pytest.mark.parametrize(
    "moment", ["after the bound", "after the ids", "after the rows"]
)
def test_a_change_in_the_middle_of_a_push_goes_out_with_the_next(
    line: Connection, moment: str
) -> None:
    platform = Platform(line)
    report(line.warehouse, "A@RENO=1")
    platform.push()
    report(line.warehouse, "A@RENO=2")
    mark, warehouse = platform.mark, Warehouse.objects.get()
    if moment == "after the bound":
        change(line.store, listed("A", "V"))
    query = levels.of_changed(line, mark)
    if moment == "after the ids":
        change(line.store, listed("A", "V"))
    platform.known.update(read(query))
    platform.mark = warehouse.change_number
    if moment == "after the rows":
        change(line.store, listed("A", "V"))
    platform.push()
    assert platform.known == {("A", "WH1"): 0, ("V", "WH1"): 2}
