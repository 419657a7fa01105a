"""The whole loop on one machine: real data, real base, real server, real Dagster instance."""
