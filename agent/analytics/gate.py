"""Which sessions are recorded: opt-out, start and stop, remote config, sampling, and the server's own word.

The order is that of `getShouldRecord` in amplitude/Amplitude-TypeScript (`session-replay.ts` of the browser package);
that no session of 0 or below is recorded is the native recorders' rule.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

from agent.analytics.remote import Remote
from agent.analytics.sampling import in_sample
from agent.model import MaskLevel

OPTED_OUT = "opted out"
NOT_STARTED = "not started"
STOPPED = "stopped"
NOT_LOADED = "remote config not loaded yet"
NOT_SAMPLED = "not in the sample"
NO_ID = "no session id"
MAX_SESSIONS = 4_096


class Gate:
    """Decides for a whole run. Any thread may ask and tell: each call is one operation on a dict or an attribute.

    `remote` = a remote config is on its way, and nothing is captured until `configure`. `on_session` is called when a
    session is met for the first time, which is when clients ask for the remote config again: also while capture is
    closed, since the answer may open it.
    """

    def __init__(
        self,
        *,
        sample_rate: float = 1.0,
        variant: Literal["mobile", "web"] = "mobile",
        opt_out: bool = False,
        auto_start: bool = True,
        remote: bool = False,
        on_session: Callable[[], None] = lambda: None,
    ) -> None:
        self._rate = sample_rate
        self._local_rate = sample_rate
        self._variant = variant
        self._opt_out = opt_out
        self._halted = "" if auto_start else NOT_STARTED
        self._off = NOT_LOADED if remote else ""
        self._on_session = on_session
        self._decisions: OrderedDict[int, str] = OrderedDict()
        self._met: OrderedDict[int, None] = OrderedDict()
        self.mask_level: MaskLevel | None = None
        # How long a session must have been recorded to be kept, as the remote config has it.
        self.min_seconds = 0.0

    @property
    def closed(self) -> str:
        """Why nothing at all is captured now; "" when capture is on."""
        return OPTED_OUT if self._opt_out else self._halted or self._off

    @property
    def sample_rate(self) -> float:
        """The rate in force, 0 to 1: what uploads announce."""
        return self._rate

    def start(self) -> None:
        """Record from now on, if nothing else forbids it."""
        self._halted = ""

    def stop(self) -> None:
        """Capture nothing until `start`."""
        self._halted = STOPPED

    def configure(self, remote: Remote) -> None:
        """The remote config has come, or has come again: its rate counts for sessions that are met from now on."""
        self._off = remote.off
        self._rate = self._local_rate if remote.sample_rate is None else remote.sample_rate
        self.mask_level = remote.mask_level
        self.min_seconds = remote.min_seconds

    def end(self, session_id: int, reason: str) -> None:
        """The server wants no more of this session."""
        self._decide(session_id, reason)

    def refusal(self, session_id: int) -> str:
        """Why this effective session is not recorded; "" when it is. Decided at its first sight, and kept.

        While capture is closed nothing is decided: the reason for that comes back.
        """
        if session_id <= 0:
            return NO_ID
        decided = self._decisions.get(session_id)
        if decided is not None:
            return decided
        if session_id not in self._met:
            self._met[session_id] = None
            while len(self._met) > MAX_SESSIONS:
                self._met.popitem(last=False)
            self._on_session()
        if self.closed:
            return self.closed
        return self._decide(session_id, "" if in_sample(session_id, self._rate, self._variant) else NOT_SAMPLED)

    def _decide(self, session_id: int, reason: str) -> str:
        self._decisions[session_id] = reason
        while len(self._decisions) > MAX_SESSIONS:
            self._decisions.popitem(last=False)
        return reason
