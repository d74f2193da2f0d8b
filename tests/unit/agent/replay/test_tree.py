from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.model import MaskedNode
from agent.replay import tree
from bridge.types import Bounds, NodeFlag

BUTTON = MaskedNode(
    "k",
    Bounds(42, 105, 147, 210),
    "android.widget.Button",
    "com.example:id/pay",
    "Pay",
    NodeFlag.CLICKABLE | NodeFlag.VISIBLE,
)


def test_a_box_is_in_dp_and_carries_what_it_is() -> None:
    assert tree.boxes([BUTTON], 420) == {
        "k": {
            "class": "v",
            "style": "left:16px;top:40px;width:40px;height:40px",
            "data-class": "android.widget.Button",
            "data-res": "com.example:id/pay",
            "aria-label": "Pay",
            "data-flags": "clickable",
        }
    }


def test_lengths_keep_one_decimal() -> None:
    node = MaskedNode("k", Bounds(1, 0, 2625, 1), "v", "", "", NodeFlag.NONE)
    assert tree.boxes([node], 420)["k"]["style"] == "left:0.4px;top:0px;width:999.6px;height:0.4px"


KEYS = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.dictionaries(st.sampled_from(["style", "x", "y"]), st.sampled_from("123")),
    max_size=8,
)


@given(KEYS, KEYS, KEYS)
def test_a_diff_leads_from_one_set_to_the_next(
    first: dict[str, dict[str, str]], second: dict[str, dict[str, str]], third: dict[str, dict[str, str]]
) -> None:
    ids = tree.NodeIds()
    shown = {node["id"]: dict(node["attributes"]) for node in tree.document(first, ids)}
    for old, new in ((first, second), (second, third)):
        change = tree.diff(old, new, ids)
        assert change.empty == (old == new)
        for node_id in change.removes:
            del shown[node_id]
        for node_id, values in change.attributes:
            for name, value in values.items():
                if value is None:
                    del shown[node_id][name]
                else:
                    shown[node_id][name] = value
        for node in change.adds:
            assert node["id"] not in shown
            shown[node["id"]] = dict(node["attributes"])
        assert shown == {ids.of(key): values for key, values in new.items()}


def test_ids_stay_for_a_key_and_are_never_given_twice() -> None:
    ids = tree.NodeIds()
    a, b = ids.of("a"), ids.of("b")
    assert (ids.of("a"), a != b, a >= 100) == (a, True, True)
    for i in range(tree.MAX_KEYS):
        ids.of(f"key {i}")
    ids.forget_oldest()
    assert ids.of("b") > b
