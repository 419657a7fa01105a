"""What the assets of every model are given."""

import dagster as dg

from ft_assets.storage.assets import HomeResource


@dg.definitions
def resources() -> dg.Definitions:
    return dg.Definitions(resources={"home": HomeResource(), "pipes": dg.PipesSubprocessClient()})
