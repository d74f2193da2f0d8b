"""Keys on the screen: where one types a code or a number, on an app's own keypad or keyboard."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from agent.replay import rules
from agent.replay.rows import Row, root_of, taint, within
from agent.replay.windows import hull
from bridge.types import Bounds

MIN_KEYS, MIN_OPERATORS = 9, 2
# On how many keys of a keypad the same letters may stand.
MAX_ALIKE = 2
# A keyboard has some letters beside one another, the index of a list each in a line of its own.
MIN_LETTERS, MIN_BESIDE = 20, 3
# As many days as a calendar shows of any month: its first nine look like keys.
MIN_DAYS = 10


def keypads(rows: list[Row], whole: Bounds) -> list[Bounds]:
    """Where keys are, on a screen of `whole`; they are noted as hidden, and what lies between them as lying there. One
    that is hidden anyway is a key all the same: no touch may be told there."""
    keys: dict[int, list[int]] = {}
    operators: dict[int, set[str]] = {}
    days: dict[int, set[str]] = {}
    for i, row in enumerate(rows):
        node = row.node
        if rules.keypad_digit(node) or rules.keyboard_letter(node):
            if not rules.editable(node):
                keys.setdefault(root_of(rows, i), []).append(i)
        elif sign := rules.operator_key(node):
            operators.setdefault(root_of(rows, i), set()).add(sign)
        elif not rules.editable(node) and (day := rules.late_day(node)):
            days.setdefault(root_of(rows, i), set()).add(day)
    pads: list[Bounds] = []
    for root, members in keys.items():
        signs = {i: (rules.keypad_digit(rows[i].node), rules.keypad_letters(rows[i].node)) for i in members}
        # A key may say what it is in several views.
        alike = Counter(letters for _, letters in set(signs.values()) if letters)
        digits = {i: digit for i, (digit, letters) in signs.items() if digit and alike[letters] <= MAX_ALIKE}
        if _letters([rows[i] for i in members]) < MIN_LETTERS:
            calculates = len(operators.get(root, ())) >= MIN_OPERATORS
            dates = len(days.get(root, ())) >= MIN_DAYS and "0" not in digits.values()
            typed = len(set(digits.values())) >= MIN_KEYS and not calculates and not dates
            members = list(digits) if typed else []
        if members:
            pads += hull(_keys([rows[i].bounds for i in members if not rows[i].bounds.empty], whole))
            for i in members:
                rows[i].hidden = rows[i].hidden or "keypad"
                taint(rows, rows[i].parent)
    for row in rows if pads else ():
        row.pad = not row.bounds.empty and any(within(row.bounds, pad) for pad in pads)
    return pads


def _keys(labels: list[Bounds], whole: Bounds) -> list[Bounds]:
    """The keys of a keypad by what stands on them: a label is in the middle of its key, which is touched anywhere up
    to half the way to the next."""
    across = _step([b.left + b.right for b in labels], 2 * min((b.width for b in labels), default=0)) // 4 + 1
    down = _step([b.top + b.bottom for b in labels], 2 * min((b.height for b in labels), default=0)) // 4 + 1
    keys = []
    for b in labels:
        x, y = (b.left + b.right) // 2, (b.top + b.bottom) // 2
        keys.append(Bounds(x - across, y - down, x + across, y + down).union(b).intersect(whole))
    return keys


def _step(places: list[int], least: int) -> int:
    """How far apart the columns or rows are that stand at these places, 0 for one alone."""
    ordered = sorted(set(places))
    return min((b - a for a, b in pairwise(ordered) if b - a >= max(1, least)), default=0)


def _letters(keys: list[Row]) -> int:
    """How many letters there are on keys that stand beside others."""
    lettered = [(row.bounds, letter) for row in keys if (letter := rules.keyboard_letter(row.node))]
    lines: list[list[str]] = []
    last = 0
    for bounds, letter in sorted(lettered, key=lambda key: key[0].top + key[0].bottom):
        middle = bounds.top + bounds.bottom
        if not lines or middle - last > bounds.height:
            lines.append([])
            last = middle
        lines[-1].append(letter)
    return len({letter for line in lines if len(line) >= MIN_BESIDE for letter in line})
