"""The board of the machine: processor, memory, network, disk, by node_exporter's numbers."""

from __future__ import annotations

from tiltmeter.views.grafana.panels import CRITICAL, WATCH, Board, Panel, PanelUnit, Query, Row, Threshold, Variable

_HOST = Variable("instance", "Host", "label_values(node_uname_info, instance)")


def host_board() -> Board:
    """Utilisation of the machine by node_exporter's numbers."""
    return Board(
        "tiltmeter-host",
        "Tiltmeter / Host",
        "Has the machine room to spare?",
        (
            Row("Processor", _host_processor()),
            Row("Memory", _host_memory()),
            Row("Network", _host_network()),
            Row("Disk", _host_disk()),
        ),
        (_HOST,),
    )


_AT = 'instance=~"$instance"'
_NO_NODE = "node_exporter is not scraped"
_TIGHT = (Threshold(0.8, WATCH), Threshold(0.95, CRITICAL))


def _host_panel(
    title: str, meaning: str, unit: PanelUnit, *queries: tuple[str, str], thresholds: tuple[Threshold, ...] = ()
) -> Panel:
    high = 1.0 if unit is PanelUnit.SHARE else None
    asked = tuple(Query(expression, legend) for expression, legend in queries)
    return Panel(title, meaning, asked, unit, thresholds=thresholds, high=high, empty=_NO_NODE)


def _host_processor() -> tuple[Panel, ...]:
    busy = f'1 - avg by (instance) (rate(node_cpu_seconds_total{{{_AT},mode="idle"}}[$__rate_interval]))'
    by_mode = f'avg by (mode) (rate(node_cpu_seconds_total{{{_AT},mode!="idle"}}[$__rate_interval]))'
    cores = f'count by (instance) (node_cpu_seconds_total{{{_AT},mode="idle"}})'
    load = f"node_load5{{{_AT}}} / on(instance) {cores}"
    return (
        _host_panel("CPU busy", "Share of all cores.", PanelUnit.SHARE, (busy, "{{instance}}"), thresholds=_TIGHT),
        _host_panel(
            "CPU by mode", "What the cores do; iowait means a slow disk.", PanelUnit.SHARE, (by_mode, "{{mode}}")
        ),
        _host_panel(
            "Load per core", "Processes that run or wait, over five minutes; above 1 they queue.",
            PanelUnit.NONE, (load, "{{instance}}"), thresholds=(Threshold(1.0, WATCH), Threshold(2.0, CRITICAL)),
        ),
    )  # fmt: skip


def _host_memory() -> tuple[Panel, ...]:
    total, available = f"node_memory_MemTotal_bytes{{{_AT}}}", f"node_memory_MemAvailable_bytes{{{_AT}}}"
    return (
        _host_panel(
            "Memory used", "Share that programs cannot have any more.", PanelUnit.SHARE,
            (f"1 - {available} / {total}", "{{instance}}"), thresholds=_TIGHT,
        ),
        _host_panel(
            "Memory", "Used and available.", PanelUnit.BYTES,
            (f"{total} - {available}", "used"), (available, "available"),
        ),
    )  # fmt: skip


def _host_network() -> tuple[Panel, ...]:
    devices = f'{_AT},device!~"lo|veth.*|ifb.*|docker.*|br-.*"'

    def rate(name: str) -> str:
        return f"sum by (instance) (rate(node_network_{name}_total{{{devices}}}[$__rate_interval]))"

    return (
        _host_panel(
            "Network traffic", "Bytes per second over all physical devices.", PanelUnit.BYTES_PER_SECOND,
            (rate("receive_bytes"), "received"), (rate("transmit_bytes"), "sent"),
        ),
        _host_panel(
            "Network losses", "Packets per second that were dropped or broken.", PanelUnit.PER_SECOND_PACKETS,
            (f"{rate('receive_drop')} + {rate('transmit_drop')}", "dropped"),
            (f"{rate('receive_errs')} + {rate('transmit_errs')}", "broken"),
        ),
    )  # fmt: skip


def _host_disk() -> tuple[Panel, ...]:
    place = f'{_AT},fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660"'
    used = f"1 - node_filesystem_avail_bytes{{{place}}} / node_filesystem_size_bytes{{{place}}}"
    disk = f"sum by (instance) (rate(node_disk_{{}}_bytes_total{{{{{_AT}}}}}[$__rate_interval]))"
    return (
        _host_panel(
            "Disk used", "Share of each file system; the spool keeps 10 % free.", PanelUnit.SHARE,
            (used, "{{mountpoint}}"), thresholds=(Threshold(0.8, WATCH), Threshold(0.9, CRITICAL)),
        ),
        _host_panel(
            "Disk traffic", "Bytes per second.", PanelUnit.BYTES_PER_SECOND,
            (disk.format("read"), "read"), (disk.format("written"), "written"),
        ),
    )  # fmt: skip
