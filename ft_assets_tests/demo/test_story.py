"""How the story ends when a check keeps a candidate from its gate."""

import io

import pytest
from rich.console import Console

from ft_assets.demo.progress import Steps
from ft_assets.demo.story import Story
from ft_assets.errors import Refused
from ft_assets.recipe import Recipe
from ft_assets.storage.candidates import open_candidate
from ft_assets.storage.home import Home


def test_a_candidate_that_was_never_judged_is_an_error_that_says_why(home: Home, recipe: Recipe) -> None:
    candidate = open_candidate(home, recipe, ["b1"], None, ["test"])
    story = Story(home, recipe, Steps(Console(file=io.StringIO()), home.scratch, rounds=1))
    story.open_loop()
    story.loop.failures.append("tiny__eval_split_no_contamination: 2 eval rows were trained on")
    with pytest.raises(Refused, match=f"{candidate.key} was never judged: .*2 eval rows were trained on"):
        story._require_verdicts(story.finish())
