from __future__ import annotations

from bridge.emulated.world import hazards, shop
from bridge.emulated.world.autopilot import SCENARIOS
from bridge.emulated.world.views import View


def words(view: View) -> set[str]:
    return {view.text, view.desc} | {text for child in view.children for text in words(child)}


def test_every_hazard_is_a_scenario_that_starts_the_app() -> None:
    assert hazards.HAZARDS.items() <= SCENARIOS.items()
    assert all("launch" in steps for steps in hazards.HAZARDS.values())


def test_hidden_words_stand_nowhere_else() -> None:
    texts = (*hazards.HIDDEN, *hazards.MESSAGES)
    assert len(set(texts)) == len(texts)
    parts = [text.split()[-1] for text in texts]
    assert len({part[:8] for part in parts}) == len(parts)


def test_every_screen_shows_what_it_hides() -> None:
    state = shop.State()
    shown: set[str] = set()
    for screen, body in hazards.BODIES.items():
        state.screen = screen
        shown |= words(shop.screen(state, 360, 800, body))
    for window in (hazards.mail, hazards.recents, hazards.accounts, hazards.coupon):
        shown |= words(window(360, 800).root)
    assert words(hazards.player(360, 800, (12, 120)).root) & set(hazards.SUBJECTS)
    drafts = hazards.DRAFTS[:: hazards.CHAT_EVERY]
    assert {*drafts, *hazards.SUBJECTS, hazards.COUPON, hazards.SEAT, hazards.OWNER, hazards.WEB_WORDS} <= shown
    assert set(hazards.MESSAGES) <= shown


def test_a_long_screen_can_be_scrolled_to_its_end() -> None:
    assert hazards.scroll_range("chat", 800) > 1000
    assert hazards.scroll_range("booking", 800) == 0
