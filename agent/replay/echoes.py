"""Views that say again what is hidden in another one, and such as say something private only together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from agent.replay import rules
from agent.replay.rows import Private, Row, taint, within, words_of
from agent.replay.secrets import MIN_SECRET
from agent.replay.spelling import alone, lowered, may_stand, signs_of
from bridge.types import Bounds, NodeFlag

# The most that one of several boxes for the parts of a text holds, and the longest text that is looked for in such.
MAX_BOXED, MAX_PARTED = 4, 32
# The most that a view says which is one group of a number.
MAX_GROUP = 6
# A number so short is that of a card's back.
CARD_CODE = 3
# As the number of a card or of an account is written.
_GROUPS = re.compile(r"(?<!\w)(?:(?:\w{4} ){3,}\w{1,4}|\w{4} \d{6} \d{4,5})(?!\w)")


def boxed(rows: Iterable[Row]) -> Iterator[tuple[str, set[str]]]:
    """What is typed into inputs of a few characters each, one after the other: a code, the groups of a card's number;
    with the rules by which they are hidden."""
    run: list[Row] = []
    for row in (*rows, None):
        words = row.node.text.strip() if row is not None and row.typed and rules.editable(row.node) else ""
        if row is not None and 0 < len(words) <= MAX_BOXED and row.node.text != row.node.hint:
            run.append(row)
        elif row is None or rules.editable(row.node):
            if len(run) > 1:
                yield "".join(each.node.text.strip() for each in run), {each.hidden for each in run}
            run = []


def echoes(rows: list[Row], secrets: dict[str, None]) -> list[Private]:
    """Views that repeat what stands in a private input, for instance a suggestion list under it."""
    known = {secret: signs_of(secret) for secret in secrets}

    def repeats(text: str) -> bool:
        # Most say nothing like it, and a pattern takes long to make.
        return any(may_stand(signs, text) and alone(secret).search(text) for secret, signs in known.items())

    found: list[Private] = []
    for row in rows:
        node = row.node
        if not known or row.hidden or not (node.text or node.desc):
            continue
        if not (repeats(node.text) or repeats(node.desc)):
            continue
        if node.text or not node.children or repeats(row.own):
            row.hidden = "echo"
            if not row.bounds.empty:
                found.append(Private(row.key, row.bounds, "mask", "echo", row.scrolls))
        taint(rows, row.parent)
        row.below = True
    return found


def grouped(rows: Iterable[Row], clean: Callable[[str], str]) -> Iterator[list[Row]]:
    """Views in one line that say a number in groups: none of them looks private, all together do."""
    line: list[Row] = []
    for row in (*rows, None):
        words = "" if row is None or row.hidden or row.node.children or row.bounds.empty else words_of(row)
        if row is not None and not words:
            continue
        group = row if len(words) <= MAX_GROUP and words.isalnum() else None
        if group is None or (line and not _in_line(line[-1].bounds, group.bounds)):
            found = _GROUPS.fullmatch(" ".join(map(words_of, line))) if len(line) > 2 else None
            if found is not None and clean(found[0]) != found[0]:
                yield line
            line = []
        line += [group] if group is not None else []


def _in_line(one: Bounds, other: Bounds) -> bool:
    """Whether a view stands in a line with the one before it, as groups of a number do; columns are farther apart."""
    least = min(one.height, other.height)
    level = abs(one.top + one.bottom - other.top - other.bottom) < least
    return level and other.left - one.right < 2 * least


def parted(rows: list[Row], unseen: int) -> list[Private]:
    """Views that show in pieces of a few characters what is typed into an input: the boxes of a code, whose input lies
    over them or is not to be seen, the groups of a number on the picture of a card."""
    typed: list[tuple[Row, str]] = []
    for row in rows:
        node = row.node
        if row.typed and row.hidden and rules.editable(node) and node.text != node.hint:
            signs = "".join(filter(str.isalnum, node.text)) or node.text.strip()
            if 0 < len(signs) <= MAX_PARTED:
                typed.append((row, lowered(signs)))
    runs: list[tuple[list[Row], list[str]]] = [([], [])]
    for row in rows if typed else ():
        words = lowered(words_of(row))
        if words and not row.hidden and not row.node.children:
            if len(words) > MAX_BOXED:
                runs.append(([], []))
            else:
                runs[-1][0].append(row)
                runs[-1][1].append(words)
    found: dict[str, Row] = {}
    private: dict[str, Private] = {}
    for row, signs in typed:
        field = row.bounds
        small = field.empty or min(field.width, field.height) <= unseen
        far = small and row.node.flags.has(NodeFlag.FOCUSED)
        for run, said in runs:
            for n, words in enumerate(said):
                if words[0] != signs[0] and words[0].isalnum() and signs[0].isalnum():
                    continue
                pieces = _pieces(run, said, n, signs)
                if not pieces:
                    continue
                near = far or all(not piece.bounds.intersect(field).empty for piece in pieces)
                if not (near or _telling(pieces, signs)):
                    continue
                found |= {piece.key: piece for piece in pieces}
                private |= {
                    piece.key: Private(piece.key, piece.bounds, "mask", "echo", piece.scrolls)
                    for piece in pieces
                    if not piece.bounds.empty and not within(piece.bounds, field)
                }
    for row in found.values():
        row.hidden, row.below = "echo", True
        taint(rows, row.parent)
    return list(private.values())


def _pieces(run: list[Row], said: list[str], start: int, signs: str) -> list[Row]:
    """The first views from there on that say all the signs, one after the other; none when they do not. What is no
    letter and no digit, a dot, may stand for one, and for dots single characters do."""
    pieces: list[Row] = []
    at, told = 0, False
    for row, words in zip(run[start : start + len(signs)], said[start:], strict=False):
        part, rest = words[: len(signs) - at], words[len(signs) - at :]
        pairs = list(zip(part, signs[at:], strict=False))
        if any(a != b and a.isalnum() and b.isalnum() for a, b in pairs) or any(map(str.isalnum, rest)):
            break
        if len(words) > 1 and not signs[0].isalnum():
            break
        pieces.append(row)
        told = told or any(map(str.isalnum, words))
        at += len(words)
        if at >= len(signs):
            return pieces if told else []
    return []


def _telling(pieces: list[Row], signs: str) -> bool:
    """Whether they say enough of the signs to be no others, wherever they stand."""
    words = lowered("".join(map(words_of, pieces)))
    same = sum(a == b and a.isalnum() for a, b in zip(words, signs, strict=False))
    if len(pieces) == 1:
        return same == len(signs) >= CARD_CODE and signs.isdigit()
    return 2 * same >= len(signs) >= MIN_SECRET
