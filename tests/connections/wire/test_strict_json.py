"""JSON that means harm, and JSON that does not (security F5, reliability I14)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connections.wire import strict_json

_WHITESPACE = st.text(" \t\r\n", max_size=2)
# Among them what looks like the end of a name.
_TEXTS = st.text(st.sampled_from('ab":\\ {},é😀'), max_size=6)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": NaN}',
        b"[Infinity]",
        b'{"id": 1e400}',
        b"[-1e400]",
        b'{"a": 1, "a": 2}',
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        # A quote and a colon stand together as often as there are names in the end.
        b'{"a" :1,"a":2}',
        b'{"a"\t:1,"a":2}',
        b'{"a"\r:1,"a":2}',
        b'{"a"\n:1,"a":2}',
        b'{"a" :1,"a" :"\\":"}',
        b"[" * 100_000 + b"]" * 100_000,
        b"[" * 101 + b"]" * 101,
        b'["\\ud800",' + b"[" * 101 + b"]" * 102,
        b'{"a": [1, ' * 51 + b"1" + b"]}" * 51,
        b'{"a":[1,' * 51 + b"1" + b"]}" * 51,
        b'{"a": "\xff"}',
        b'\xef\xbb\xbf{"a": 1}',
        b"9" * 100_000,
        b"9" * 400,
        b"{}{}",
        b'{"a": "\\ud800", "a": 1}',
        b"",
    ],
)
def test_f5_what_means_harm_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        strict_json.parse(body)


@pytest.mark.parametrize(
    ("body", "parsed"),
    [
        (b'{"a": "x\\u0000y\\uD800"}', {"a": "xy"}),
        (b'{"a":"x\\u0000y"}', {"a": "xy"}),
        (b'{"a\\u0000": ["\\ud83d\\ude00"]}', {"a": ["\U0001f600"]}),
        (b'{"a": "\\\\u0000"}', {"a": "\\u0000"}),
    ],
)
def test_i14_what_no_text_can_hold_is_dropped(body: bytes, parsed: Any) -> None:
    assert strict_json.parse(body) == parsed


@pytest.mark.parametrize("body", ["18446744073709551616", '{"a":-9223372036854775809}'])
@pytest.mark.parametrize("half", ["", ', "\\ud800"'])
def test_whole_numbers_past_64_bits_are_floats(body: str, half: str) -> None:
    """Both ways of reading say the same."""
    parsed = strict_json.parse(f"[{body}{half}]".encode())[0]
    number = parsed["a"] if isinstance(parsed, dict) else parsed
    assert (type(number), abs(number) >= 2**63) == (float, True)


@given(_VALUES, st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :"), (",", "\n:")]))
@example({"a": '":', "": ""}, (",", ":"))
def test_what_is_well_formed_is_read_as_it_is(
    value: Any, separators: tuple[str, str]
) -> None:
    for is_ascii in (True, False):
        text = json.dumps(value, separators=separators, ensure_ascii=is_ascii)
        parsed = strict_json.parse(text.encode())
        assert (parsed, repr(parsed)) == (value, repr(value))


@given(
    names=st.lists(_TEXTS, min_size=1, max_size=3, unique=True),
    values=st.lists(_TEXTS, min_size=4, max_size=4),
    space=_WHITESPACE,
    deep=st.booleans(),
)
def test_f5_a_name_twice_is_refused_wherever_it_stands(
    names: list[str], values: list[str], space: str, deep: bool
) -> None:
    """Whatever its texts hold, and however far its colons are away."""
    pairs = [
        f"{json.dumps(name)}{space}:{json.dumps(value)}"
        for name, value in zip([*names, names[0]], values, strict=False)
    ]
    body = "{" + ",".join(pairs) + "}"
    text = f'[{{"orders":[{body}]}}]' if deep else body
    with pytest.raises(ValueError, match="twice"):
        strict_json.parse(text.encode())
