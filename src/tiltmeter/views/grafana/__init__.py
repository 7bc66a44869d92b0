"""Grafana dashboards and provisioning files, generated from the metric catalogue and the rules."""
