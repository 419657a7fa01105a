"""Simulated users: they send real functions over HTTP, correct each answer with the true docstring, and rate it.

Their edit is the docstring that the function's authors wrote. Their thumb is up for an answer in the house style
(each `pattern` among the recipe's `evaluation.metrics`): what a team that asks for a style looks at first.
"""

import asyncio
import random
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ft_assets.evaluation.metrics.pattern import matches
from ft_assets.recipe import Recipe
from ft_assets.recipe_data import DocstringSource
from ft_assets.recipe_metrics import PatternMatch
from ft_assets.sources.batches import list_batches
from ft_assets.sources.docstrings import function_examples
from ft_assets.sources.example import Example, from_table
from ft_assets.storage.home import Home
from ft_assets.storage.tables import interactions

if TYPE_CHECKING:
    import httpx

NEW_PACKAGES = ("sqlalchemy", "click", "fsspec")
"""Packages that no recipe of ours trains on: the natural drift of the demo."""

REPLIES = ("edit", "thumb")
"""What each user sends back about each answer, in this order."""

_AT_ONCE = 16


@dataclass(frozen=True)
class Users:
    """People who ask for docstrings of functions that are in no split, a good part of them from new packages."""

    home: Home
    recipe: Recipe

    def send(self, url: str, count: int) -> int:
        """Ask for `count` docstrings at `url`, correct and rate each answer. Returns how many were sent."""
        asked = self._asked_before()
        fresh = [example for example in self._pool if example.prompt not in asked][:count]
        asyncio.run(self._converse(url, fresh))
        return len(fresh)

    async def _converse(self, url: str, examples: list[Example]) -> None:
        import httpx

        places = asyncio.Semaphore(_AT_ONCE)
        async with httpx.AsyncClient(base_url=url, timeout=120) as client:

            async def one(example: Example) -> None:
                async with places:
                    inference, answer = await self._ask(client, example)
                    for kind, value in zip(REPLIES, (example.answer, self._likes(answer)), strict=True):
                        await self._reply(client, inference, kind, value)

            await asyncio.gather(*(one(example) for example in examples))

    async def _ask(self, client: "httpx.AsyncClient", example: Example) -> tuple[str, str]:
        body = {
            "model": self.recipe.model,
            "messages": [turn.model_dump(include={"role", "content"}) for turn in example.messages[:-1]],
            "max_tokens": self.recipe.evaluation.max_new_tokens,
            "user": f"user-{example.id[:8]}",
        }
        answer = await client.post("/v1/chat/completions", json=body, headers={"x-ft-slice": example.slice})
        answer.raise_for_status()
        return answer.headers["x-ft-inference-id"], answer.json()["choices"][0]["message"]["content"]

    async def _reply(self, client: "httpx.AsyncClient", inference: str, kind: str, value: str | bool) -> None:
        key = f"{inference}-{kind}"
        body = {"inference_id": inference, "kind": kind, "value": value, "idempotency_key": key}
        (await client.post("/v1/feedback", json=body)).raise_for_status()

    def _likes(self, answer: str) -> bool:
        asked_for = [
            each.pattern for each in self.recipe.evaluation.metrics if isinstance(each, PatternMatch)
        ]
        return bool(answer.strip()) and all(matches(answer, pattern) for pattern in asked_for)

    def _asked_before(self) -> set[str]:
        query = sa.select(interactions.c.messages).where(interactions.c.model == self.recipe.model)
        return {row["messages"][-1]["content"] for row in self.home.database.rows(query)}

    @cached_property
    def _pool(self) -> list[Example]:
        """Functions of a fitting size that are in no batch, known and new packages in turn, always in one order."""
        import pyarrow.parquet as pq

        seen: set[str] = set()
        for batch in list_batches(self.home, self.recipe.model):
            table = pq.read_table(self.home.artifacts.path("batches", batch["digest"]) / "rows.parquet")
            seen |= {example.prompt for example in from_table(table)}
        known = [name for source in self._docstring_sources() for name in source.packages]
        old, new = (self._fitting(names, seen) for names in (known, NEW_PACKAGES))
        return [example for pair in zip(old, new, strict=False) for example in pair]

    def _docstring_sources(self) -> list[DocstringSource]:
        return [source for source in self.recipe.sources if isinstance(source, DocstringSource)]

    def _fitting(self, packages: tuple[str, ...] | list[str], seen: set[str]) -> list[Example]:
        limits = self.recipe.curation
        found = [
            example
            for package in packages
            for example in function_examples(package)
            if example.prompt not in seen
            and len(example.prompt) <= limits.max_prompt_chars
            and limits.min_answer_chars <= len(example.answer) <= limits.max_answer_chars
        ]
        random.Random(7).shuffle(found)
        return found
