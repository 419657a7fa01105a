"""The real server of the serving tests."""

from ft_assets_tests.serving.conftest import api, installation

__all__ = ["api", "installation"]
