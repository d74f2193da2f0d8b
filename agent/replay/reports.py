"""Which report of an event is told: one event is printed at several points of the plugin chain, and uploaded."""

from __future__ import annotations

from agent.model import EventStage, SegmentEvent

_RANKS: dict[EventStage, int] = {"raw": 0, "before": 1, "enriched": 2, "after": 3}
_MOST = 5
# Each rank's share of an id's number: how many reports of that rank wait.
_BITS = 32
_TOLD = 1 << (_MOST + 1) * _BITS
MAX_TOLD = 4_096


class Reports:
    """Of the reports of one message id that wait together the fullest is told, and no other one after it.

    An id is remembered for as long as a report of it waits, whatever else comes, and for the next MAX_TOLD ids after it
    was told. One that was forgotten is new: its event would be told again rather than lost. A report without an id is
    one of its own. One number an id, by the id's hash: thousands are kept of every device.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, int] = {}
        self._told: dict[int, None] = {}

    def wait(self, event: SegmentEvent) -> None:
        """A report came. Later it has its turn or is dropped, one of both and once."""
        key = _key(event)
        if key is None:
            return
        known = self._waiting.get(key)
        if known is None:
            known = _TOLD if key in self._told else 0
            self._told.pop(key, None)
        self._waiting[key] = known + _one(event)

    def turn(self, event: SegmentEvent) -> bool:
        """The turn of a report that waited has come: whether it is the one to tell."""
        key = _key(event)
        if key is None:
            return True
        known = self._waiting[key]
        fullest = (known.bit_length() - 1) // _BITS == _rank(event)
        self._leave(key, (known - _one(event)) | (_TOLD if fullest else 0))
        return fullest

    def drop(self, event: SegmentEvent) -> bool:
        """A report that waited is dropped: whether its event is lost by that, for no other one waits or was told."""
        key = _key(event)
        if key is None:
            return True
        rest = self._waiting[key] - _one(event)
        self._leave(key, rest)
        return not rest

    def _leave(self, key: int, rest: int) -> None:
        if rest not in (0, _TOLD):
            self._waiting[key] = rest
            return
        del self._waiting[key]
        if rest:
            self._told[key] = None
            if len(self._told) > MAX_TOLD:
                del self._told[next(iter(self._told))]


def _key(event: SegmentEvent) -> int | None:
    return hash(event.message_id) if event.message_id and event.stage in _RANKS else None


def _one(event: SegmentEvent) -> int:
    return 1 << _rank(event) * _BITS


def _rank(event: SegmentEvent) -> int:
    """How much a report shows, up to _MOST.

    A log that lost some of an event, or does not tell that its session is yet to be put in, shows less than the upload
    of the same stage.
    """
    rank = _RANKS[event.stage]
    if event.stage == "after" and event.complete:
        rank += 2 if event.session_from else 1
    return rank
