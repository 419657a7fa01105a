"""One automation sensor a code location, running from the start: Dagster's implicit one is off by default."""

import dagster as dg


@dg.definitions
def automation() -> dg.Definitions:
    sensor = dg.AutomationConditionSensorDefinition(
        name="automation",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Materializes what is missing and can be made: new batches, and each step of new candidates.",
    )
    return dg.Definitions(sensors=[sensor])
