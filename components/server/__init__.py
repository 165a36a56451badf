"""The runner as a service: its API, its live streams, its dashboard, its metrics."""
