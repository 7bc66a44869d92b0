"""`tiltmeter channels list|test`."""

from __future__ import annotations

from getpass import getuser
from typing import Annotated

import typer

from tiltmeter.cli.installation import ConfigOption, JsonOption, print_json
from tiltmeter.config.load import load_settings
from tiltmeter.service.proof import prove_channel
from tiltmeter.wiring import build_world

app = typer.Typer(help="Ways to people.")


@app.command("list")
def list_channels(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Every channel, and how it stands.

    Example:
        tiltmeter channels list
    """
    world = build_world(load_settings(config))
    states = {state.name: state for state in world.state.channel_states()}
    facts = [
        {
            "channel": name,
            "kind": channel.kind,
            "waiting": states[name].queued if name in states else 0,
            "dead": states[name].dead if name in states else 0,
            "paused_until": states[name].paused_until if name in states else None,
            "last_sent_at": states[name].last_sent_at if name in states else None,
        }
        for name, channel in world.channels.items()
    ]
    if as_json:
        print_json(facts)
        return
    for fact in facts:
        sent = f"last sent {fact['last_sent_at']:%Y-%m-%d %H:%M} UTC" if fact["last_sent_at"] else "nothing sent yet"
        print(f"{fact['channel']}  {fact['kind']}  {fact['waiting']} waiting, {fact['dead']} given up, {sent}")
    if not facts:
        print("No channel is configured; docs/channels.md shows how.")


@app.command("test")
def send_test(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Channel of the configuration.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a real message through the same outbox as real alerts; fails loudly when it does not arrive.

    Example:
        tiltmeter channels test slack-ml-alerts
    """
    world = build_world(load_settings(config))
    found = prove_channel(name, state=world.state, channels=world.channels, clock=world.clock, user=getuser())
    receipt = found.receipt
    note = receipt.note if receipt else ""
    if as_json:
        reference = receipt.reference if receipt else ""
        print_json({"channel": name, "status": found.status.value, "reference": reference, "note": note})
        return
    print(f"{name}: the test message was {found.status.value}" + (f" ({note})" if note else ""))
