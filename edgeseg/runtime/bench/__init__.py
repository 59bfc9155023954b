"""Bundles and backends measured side by side."""
