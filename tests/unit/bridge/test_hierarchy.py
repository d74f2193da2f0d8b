from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import HierarchyEmpty, HierarchyMalformed
from bridge.hierarchy import MAX_BYTES, MAX_DEPTH, MAX_VIEWS, MAX_WINDOWS, parse
from bridge.types import Bounds, Hierarchy, Node, NodeFlag, Stamp

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures" / "hierarchies"
HEAD = "<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>"
UIA = (
    HEAD + '\r\n<hierarchy rotation="3">\r\n'
    '  <node index="0" text="Größe &amp; &#128512;" resource-id="com.shop:id/size" class="android.widget.EditText" '
    'package="com.shop" content-desc="a&#10;b" checkable="true" checked="true" clickable="true" enabled="true" '
    'focusable="true" focused="true" scrollable="true" long-clickable="true" password="true" selected="true" '
    'visible-to-user="true" bounds="[-5,0][1080,210]" drawing-order="1" hint="Size" display-id="0" new="?">\r\n'
    '    <node class="android.view.View" package="com.shop" visible-to-user="false" bounds="[0,0][0,0]" />\r\n'
    '  </node>\r\n  <node class="Bar" package="com.android.systemui" bounds="[0,0][1080,63]" />\r\n</hierarchy>'
)
CLI = (
    HEAD + '<hierarchy rotation="0"><node NAF="true" index="0" text="Buy" resource-id="buy" class="android.view.View" '
    'package="com.shop" content-desc="" enabled="true" bounds="[0,1][2,3]" /></hierarchy>'
    "UI hierchary dumped to: /dev/tty\r\n"
)
APPIUM = (
    HEAD + '\n<hierarchy index="0" class="hierarchy" rotation="1" width="1920" height="957">\n'
    '  <android.widget.FrameLayout index="0" package="com.car" text="" bounds="[640,79][1898,957]" displayed="true" '
    'a11y-important="true" live-region="0">\n'
    '    <android.view.View index="0" package="com.car" class="my.Widget" bounds="[1,2][3,4]" displayed="false"/>\n'
    "  </android.widget.FrameLayout>\n</hierarchy>"
)
ALL = NodeFlag(2 * NodeFlag.VISIBLE.value - 1)


def read(xml: bytes | str) -> Hierarchy:
    return parse(xml.encode() if isinstance(xml, str) else xml, Stamp(1_000_000, 7), 3, "SERIAL")


def one(attributes: str = 'bounds="[0,0][1,1]"', inner: str = "") -> str:
    return f'<hierarchy rotation="0"><node {attributes}>{inner}</node></hierarchy>'


def test_uiautomator2() -> None:
    tree = read(UIA)
    assert (tree.stamp, tree.stamp.wall_ms, tree.bound_ns, tree.rotation) == (Stamp(1_000_000, 7), 7, 3, 3)
    assert tree.roots == (
        Node(
            bounds=Bounds(-5, 0, 1080, 210),
            cls="android.widget.EditText",
            resource_id="com.shop:id/size",
            text="Größe & 😀",
            desc="a\nb",
            hint="Size",
            package="com.shop",
            flags=ALL,
            children=(Node(Bounds(0, 0, 0, 0), "android.view.View", package="com.shop"),),
        ),
        Node(Bounds(0, 0, 1080, 63), "Bar", package="com.android.systemui", flags=NodeFlag.VISIBLE),
    )
    assert tree.digest == read(UIA).digest != read(UIA + " ").digest


def test_uiautomator_dump() -> None:
    (node,) = read(CLI).walk()
    assert (node.text, node.resource_id, node.bounds) == ("Buy", "buy", Bounds(0, 1, 2, 3))
    assert node.flags == NodeFlag.ENABLED | NodeFlag.VISIBLE
    assert read(b"WARNING: linker: libx.so\n" + CLI.encode()).roots == read(CLI).roots


def test_appium() -> None:
    tree = read(APPIUM)
    assert tree.rotation == 1
    assert [(node.cls, node.flags) for node in tree.walk()] == [
        ("android.widget.FrameLayout", NodeFlag.VISIBLE),
        ("my.Widget", NodeFlag.NONE),
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_what_it_is_encoded_in_counts_and_not_what_it_declares(encoding: str) -> None:
    assert read(UIA.encode(encoding)).roots == read(UIA).roots


@pytest.mark.parametrize(
    "xml", ["<hierarchy rotation='0' />", HEAD + "<hierarchy rotation='1'></hierarchy>UI hierchary dumped to: x"]
)
def test_empty(xml: str) -> None:
    with pytest.raises(HierarchyEmpty) as caught:
        read(xml)
    assert caught.value.serial == "SERIAL"


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        (b"", "nothing was sent"),
        (b"ERROR: null root node returned by UiTestAutomationBridge.\n", "null root node"),
        (b"\xff\xfe<\0h\0\xd8", "utf-16"),
        (b"\xff\xfe<\0\x00\xd8<\0", "utf-16"),
        (
            '<hierarchy rotation="0"><node text="\xff"'.encode("latin-1") + b'bounds="[0,0][1,1]"/></hierarchy>',
            "invalid",
        ),
        (HEAD + "<html><hierarchy rotation='0'/></html>", "<html>"),
        (one().replace('"0"', '"4"'), "rotation of '4'"),
        (one().replace(' rotation="0"', ""), "rotation of ''"),
        (one(""), "bounds of ''"),
        (one('bounds="[0,0][1,x]"'), "bounds"),
        (one('bounds="[0,0][1,99999999999]"'), "bounds"),
        (one('bounds="[0,0][1,1]" bounds="[0,0][1,1]"'), "duplicate"),
        (one('bounds="[0,0][1,1]" text="&unknown;"'), "undefined entity"),
        (one('bounds="[0,0][1,1]" text="&#0;"'), "invalid character"),
        (one(inner='<node bounds="[0,0][1,1]">'), "mismatched"),
    ],
)
def test_malformed(xml: bytes | str, words: str) -> None:
    with pytest.raises(HierarchyMalformed, match=words):
        read(xml)


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE hierarchy [<!ENTITY a "1"><!ENTITY b "&a;&a;">]>',
        '<!DOCTYPE hierarchy SYSTEM "file:///etc/passwd">',
        "<!DOCTYPE hierarchy>",
    ],
)
def test_document_types_are_refused(doctype: str) -> None:
    with pytest.raises(HierarchyMalformed, match="document type"):
        read(HEAD + doctype + one('bounds="[0,0][1,1]" text="&b;"'))


def nested(depth: int) -> str:
    return '<hierarchy rotation="0">' + '<node bounds="[0,0][1,1]">' * depth + "</node>" * depth + "</hierarchy>"


def test_depth() -> None:
    assert len(list(read(nested(MAX_DEPTH)).walk())) == MAX_DEPTH
    for depth, why in ((MAX_DEPTH + 1, "deeper than 512"), (9_000, "deeper than 512"), (150_000, "more than 10000")):
        with pytest.raises(HierarchyMalformed, match=why):
            read(nested(depth))


def test_size() -> None:
    empty = one('bounds="[0,0][1,1]" text=""')
    full = empty.replace('text=""', f'text="{"x" * (MAX_BYTES - len(empty))}"')
    assert len(read(full).roots[0].text) == MAX_BYTES - len(empty)
    with pytest.raises(HierarchyMalformed, match="5000001 bytes"):
        read(full + " ")


def test_more_views_or_windows_than_any_app_has() -> None:
    node = '<node class="a" text="3 &lt; 4" bounds="[0,0][1,1]"/>'

    def dump(views: int, windows: int) -> str:
        first = f'<node class="b" bounds="[0,0][9,9]">{node * (views - windows)}</node>'
        return f"<?xml version='1.0' ?><hierarchy rotation=\"0\">{first}{node * (windows - 1)}</hierarchy> dumped to: x"

    tree = read(dump(MAX_VIEWS, MAX_WINDOWS))
    assert (len(tree.roots), len(tree.roots[0].children)) == (MAX_WINDOWS, MAX_VIEWS - MAX_WINDOWS)
    for views, windows in ((MAX_VIEWS + 1, 1), (MAX_VIEWS, MAX_WINDOWS + 1)):
        with pytest.raises(HierarchyMalformed, match="more than"):
            read(dump(views, windows))


CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff") | st.sampled_from(
    "\"'<>&\n\t]"
)
TEXTS = st.text(CHARACTERS.filter(lambda char: char in "\t\n\r" or ord(char) >= 32), max_size=8)
EDGES = st.integers(-5000, 5000)
BOUNDS = st.builds(Bounds, EDGES, EDGES, EDGES, EDGES)
FLAGS = st.integers(0, ALL.value).map(NodeFlag)


def views(children: st.SearchStrategy[tuple[Node, ...]]) -> st.SearchStrategy[Node]:
    return st.builds(
        Node, BOUNDS, st.from_regex(r"[a-z][a-z0-9_]{0,5}(\.[A-Z][a-z]{0,3})?", fullmatch=True),
        TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, FLAGS, children,
    )  # fmt: skip


NODES = st.recursive(views(st.just(())), lambda inner: views(st.lists(inner, max_size=3).map(tuple)), max_leaves=12)


def written(node: Node, appium: bool) -> str:
    tag = node.cls if appium else "node"
    flags = {
        "visible-to-user" if flag is NodeFlag.VISIBLE else (flag.name or "").lower().replace("_", "-"): flag
        in node.flags
        for flag in NodeFlag
        if flag
    }
    attributes = {
        "class": "" if appium else node.cls, "resource-id": node.resource_id, "text": node.text,
        "content-desc": node.desc, "hint": node.hint, "package": node.package,
        "bounds": f"[{node.bounds.left},{node.bounds.top}][{node.bounds.right},{node.bounds.bottom}]",
        **{name: str(on).lower() for name, on in flags.items()},
    }  # fmt: skip
    escapes = {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
    words = " ".join(f"{name}={quoteattr(value, escapes)}" for name, value in attributes.items())
    return f"<{tag} {words}>{''.join(written(child, appium) for child in node.children)}</{tag}>"


@settings(max_examples=40)
@given(st.lists(NODES, min_size=1, max_size=3), st.integers(0, 3), st.booleans(), st.sampled_from(["utf-8", "utf-16"]))
def test_any_tree_is_read_as_it_was_written(roots: list[Node], rotation: int, appium: bool, encoding: str) -> None:
    inner = "".join(written(root, appium) for root in roots)
    tree = read(f'{HEAD}<hierarchy rotation="{rotation}">{inner}</hierarchy>'.encode(encoding))
    assert tree.rotation == rotation
    assert tree.roots == tuple(roots)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("xml", [UIA, CLI, APPIUM])
def test_truncation_at_every_byte(xml: str, encoding: str) -> None:
    data = xml.encode(encoding)
    whole = read(data).roots
    end = len(xml[: xml.index("</hierarchy>") + len("</hierarchy>")].encode(encoding))
    for cut in range(len(data)):
        if cut < end:
            with pytest.raises(HierarchyMalformed):
                read(data[:cut])
        elif encoding == "utf-8" or cut % 2 == 0:
            assert read(data[:cut]).roots == whole


@given(st.binary(max_size=300), st.integers(0, len(UIA)), st.integers(0, 40))
def test_garbage_is_an_error_with_a_name(garbage: bytes, at: int, length: int) -> None:
    data = UIA.encode()
    for xml in (
        garbage,
        b"<?xml" + garbage,
        b"<hierarchy rotation='0'>" + garbage,
        data[:at] + garbage + data[at + length :],
    ):
        try:
            tree = read(xml)
        except (HierarchyEmpty, HierarchyMalformed):
            continue
        assert tree.roots


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="fixtures folder absent")
@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.xml")), ids=lambda path: path.stem)
def test_real_dumps(path: Path) -> None:
    data = path.read_bytes()
    tree = read(data)
    text = data.decode("utf-16" if data[:1] == b"\xff" else "utf-8")
    assert len(list(tree.walk())) == text.count("bounds=")
    assert all(node.cls and "." in node.cls and node.package for node in tree.walk())
    assert sum(node.bounds.area > 0 for node in tree.walk()) > 5


def test_windows_of_another_display_are_left_out() -> None:
    def window(text: str, display: str) -> str:
        child = f'<node bounds="[0,0][5,5]" text="{text} child" display-id="9"/>'
        return f'<node bounds="[0,0][9,9]" text="{text}" {display}>{child}</node>'

    xml = f"""<hierarchy rotation="0">{window("a", 'display-id="0"')}{window("b", 'display-id="2"')}{window("c", "")}
    </hierarchy>""".encode()
    for display, expected in ((0, ["a", "c"]), (2, ["b"])):
        tree = parse(xml, Stamp(0, 0), 0, display=display)
        assert [root.text for root in tree.roots] == expected
        assert all(len(root.children) == 1 for root in tree.roots)
    with pytest.raises(HierarchyEmpty):
        parse(xml.replace(window("c", "").encode(), b""), Stamp(0, 0), 0, display=5)


@pytest.mark.parametrize("cut", [b'text="Anna Bell" class="a.B" />', b"Anna Bell</node>", b"Anna Bell\n<node"])
def test_a_dump_whose_beginning_is_missing_is_not_quoted(cut: bytes) -> None:
    with pytest.raises(HierarchyMalformed) as raised:
        parse(cut, Stamp(0, 0), 0)
    assert "without the beginning" in raised.value.detail
    assert "Anna" not in str(raised.value)
