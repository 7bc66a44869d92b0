"""What a page of the dashboard shows when it is run in this process."""

import json

import pyarrow as pa


def words(shown):
    return " ".join(str(e.value) for kind in (shown.markdown, shown.caption, shown.info, shown.text) for e in kind)


def first_line(shown):
    """The coloured line that answers the page's question: the first one below the header, however many stand above."""
    below = [m.value for m in shown.markdown]
    age = next(place for place, value in enumerate(below) if "data as of" in value)
    return below[age + 1]


def charts(shown):
    found = []

    def walk(block):
        for child in getattr(block, "children", {}).values():
            if child.type == "vega_lite_chart":
                tables = [pa.ipc.open_stream(d.data.data).read_all().to_pylist() for d in child.proto.datasets]
                found.append((json.loads(child.proto.spec), tables))
            walk(child)

    walk(shown.main)
    return found
