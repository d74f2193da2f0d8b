"""Whether two reports can be of one event, by what both show of it: for those that a message id does not join.

A report shows less than a fuller one where the log has cut it or an earlier point of the plugin chain printed it:
plugins add properties, and take or change none.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from agent.analytics.forms import Path

_IDS = ("userId", "groupId", "previousId", "timestamp")
_BODIES = ("properties", "traits")
_PRINTED = "2026-03-03T10:00:00Z"


def added(
    lesser: Mapping[str, object], cuts: Collection[Path], fuller: Mapping[str, object], gaps: Collection[Path]
) -> int | None:
    """How many properties or traits `fuller` adds to all that `lesser` shows, None when it lacks or contradicts some.

    Some members are not shown at the paths `cuts` of the one and `gaps` of the other; what may be there is not counted.
    """
    for name in _IDS:
        if name in lesser and lesser[name] != fuller.get(name):
            hidden = name not in fuller and (() in gaps or (name,) in gaps)
            if not hidden:
                return None
    count = 0
    for name in _BODIES:
        own, whole = lesser.get(name), fuller.get(name)
        if not isinstance(own, dict) or not isinstance(whole, dict):
            continue
        cut, gap = _within(cuts, name), _within(gaps, name)
        if not _agree(own, whole, cut, gap):
            return None
        count += 0 if cut or gap else len(whole.keys() - own.keys())
    return count


def _within(paths: Collection[Path], name: str) -> bool:
    return any(path[:1] == (name,) for path in paths)


def _agree(own: object, whole: object, cut: bool, gap: bool) -> bool:
    """`cut`: some of `own` may not be shown; `gap`: some of `whole`. The readers bound the depth."""
    if own == whole:
        return True
    if isinstance(own, dict) and isinstance(whole, dict):
        return all(_agree(value, whole[name], cut, gap) if name in whole else gap for name, value in own.items())
    if isinstance(own, list) and isinstance(whole, list):
        if (len(own) > len(whole) and not gap) or (len(own) < len(whole) and not cut):
            return False
        # In a list null may stand for what is not shown.
        return all(
            _agree(one, other, cut, gap) or (one is None and cut) or (other is None and gap)
            for one, other in zip(own, whole, strict=False)
        )
    if isinstance(own, dict) or isinstance(whole, dict):
        # An object may write itself as JSON in a form of its own; the console shows its members.
        return not isinstance(own, list) and not isinstance(whole, list)
    return (_null(own) and _null(whole)) or _moment(own, whole) or _moment(whole, own)


def _null(value: object) -> bool:
    """JSON has no other form of a number that is none."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _moment(printed: object, whole: object) -> bool:
    """Whether the console printed a date so: without its fraction of a second."""
    if not isinstance(printed, str) or not isinstance(whole, str) or len(printed) != len(_PRINTED):
        return False
    return printed[-1] == "Z" and whole[-1:] == "Z" and whole.startswith(f"{printed[:-1]}.")
