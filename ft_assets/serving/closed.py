"""What is answered before BentoML's application is asked, without a key: our metrics, in place of its own; and its
other pages, which are closed, as they ask for no key, and the index loads scripts from elsewhere."""

from starlette.types import ASGIApp, Receive, Scope, Send

from ft_assets.serving import metrics
from ft_assets.serving.problems import ApiProblem

_PAGES = ("/docs.json", "/schema.json", "/static_content")
_NOT_FOUND = ApiProblem(404, "there is no such page; /openapi.json describes the API", code="not_found")


class Closed:
    """ASGI middleware around BentoML's application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else None
        if path == "/metrics":
            return await metrics.page()(scope, receive, send)
        if path == "/" or (path and path.startswith(_PAGES)):
            return await _NOT_FOUND.response()(scope, receive, send)
        await self.app(scope, receive, send)
