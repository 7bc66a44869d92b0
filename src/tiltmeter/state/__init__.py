"""The state database: what must change together (metrics, alerts, events, outbox, leases, watermarks)."""
