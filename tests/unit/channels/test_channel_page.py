"""docs/channels.md names every setting of every channel, and its examples are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tiltmeter.channels import CHANNELS, check_channel
from tiltmeter.config.yaml_source import parse_yaml

PAGE = (Path(__file__).parents[3] / "docs/channels.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", CHANNELS.names())
def test_every_setting_of_a_channel_stands_on_the_page(kind):
    shared = PAGE.partition("\n## ")[0]
    own = next(part for part in PAGE.split("\n## ")[1:] if part.startswith(f"`{kind}`"))
    fields = CHANNELS.load(kind).settings_model.model_fields
    named = {field.alias or name for name, field in fields.items()}
    assert {name for name in named if f"`{name}`" not in shared + own} == set()


def test_the_example_of_channels_is_right():
    [block] = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if text.startswith("channels:")]
    for name, settings in parse_yaml(block, name="docs/channels.md").data["channels"].items():
        check_channel(name, settings)
