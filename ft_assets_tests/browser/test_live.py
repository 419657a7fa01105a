"""The live view as a browser has it: opened with a key as password; nothing that others wrote runs."""

from collections.abc import Callable

import pytest

from ft_assets_tests.serving.conftest import Guarded
from ft_assets_tests.serving.live_traffic import HOSTILE, stage_anew
from ft_assets_tests.serving.test_live import figures, until_whole


def address(guarded: Guarded, key: str) -> str:
    return guarded.server.url.replace("http://", f"http://anybody:{key}@") + "/live"


@pytest.mark.slow
def test_the_page_shows_the_rollout_and_answers_stay_text(guarded: Guarded, dom: Callable[[str], str]):
    rollout = stage_anew(guarded.home, "seen")
    until_whole(guarded, rollout)
    page = dom(address(guarded, guarded.keys["root"][1]))
    assert "<title>ft_assets live</title>" in page
    assert f"<b>{rollout.challenger}</b> 25%" in page
    reward = figures(guarded)["models"][0]["rollout"]["signals"]["reward"]
    assert f"{reward['challenger']:.3f} against {reward['control']:.3f}; more is better" in page
    assert page.count('class="band"') == 8  # nobody edited an answer
    assert page.count('class="limit"') == 8
    assert "<script" not in page
    assert "<b>bold" not in page
    shown = HOSTILE.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert f'<pre class="answer">{shown}</pre>' in page


@pytest.mark.slow
def test_a_wrong_key_shows_nothing(guarded: Guarded, dom: Callable[[str], str]):
    # Without a window nobody can be asked again, and the browser shows an empty page.
    assert "<body></body>" in dom(address(guarded, "ft-wrong"))
