-- Run once, on an empty volume. Apart, because Dagster and ft_assets both keep a table alembic_version.
CREATE DATABASE dagster;
