"""Names and announcements over MQTT: topics, and what tells Home Assistant which entities a machine has.

Source: home-assistant.io/integrations/mqtt, "Device discovery payload"; sensors' device classes ibid. Each entity has a
state topic of its own, so that nothing one of them says can reset another; numbers are sent as numbers.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from edge_asd import __version__

ONLINE, OFFLINE = "online", "offline"
ON, OFF = "ON", "OFF"
STATE_CHARACTERS = 255
"""Home Assistant takes no longer state."""
_NAME = re.compile(r"[^A-Za-z0-9_-]")


def topic_part(name: str) -> str:
    """A name as one part of a topic and of an entity's id: what does not fit is replaced, and a few digits keep two
    such names apart."""
    part = _NAME.sub("_", name)
    return part if part == name and part else f"{part}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"


@dataclass(frozen=True)
class Topics:
    """The topics of one board. root: their first part. device: the board's name."""

    root: str
    device: str

    @property
    def availability(self) -> str:
        """Online or offline, the latter also as last will."""
        return f"{self.root}/{topic_part(self.device)}/availability"

    def of(self, machine: str, what: str) -> str:
        """Of a machine: score, level, alarm, alarm_details, health or event."""
        return f"{self.root}/{topic_part(self.device)}/{topic_part(machine)}/{what}"

    @property
    def queue_event(self) -> str:
        """What is about no machine: that messages were dropped."""
        return f"{self.root}/{topic_part(self.device)}/event"


def discovery(prefix: str, topics: Topics, machine: str, score_s: float) -> tuple[str, str]:
    """Topic and payload of the retained message that announces a machine as a device with four entities.

    score_s: seconds between two scores. A score that stays away makes its entity unavailable, whatever the reason.
    """
    device = f"{topic_part(topics.device)}_{topic_part(machine)}"
    expiry_s = round(max(60.0, 4.0 * score_s))

    def entity(platform: str, what: str, name: str, **more: Any) -> dict[str, Any]:
        return {
            "platform": platform,
            "unique_id": f"edge_asd_{device}_{what}",
            "name": name,
            "state_topic": topics.of(machine, what),
            **more,
        }

    components = {
        "alarm": entity(
            "binary_sensor",
            "alarm",
            "Alarm",
            device_class="problem",
            payload_on=ON,
            payload_off=OFF,
            json_attributes_topic=topics.of(machine, "alarm_details"),
        ),
        "score": entity(
            "sensor",
            "score",
            "Anomaly score",
            state_class="measurement",
            suggested_display_precision=1,
            expire_after=expiry_s,
            icon="mdi:chart-bell-curve",
        ),
        # No device class: sound_pressure is in dB re 20 uPa, which an uncalibrated microphone does not know.
        "level": entity(
            "sensor",
            "level",
            "Level",
            unit_of_measurement="dBFS",
            state_class="measurement",
            suggested_display_precision=1,
            expire_after=expiry_s,
            icon="mdi:microphone",
        ),
        "health": entity("sensor", "health", "Health", entity_category="diagnostic", icon="mdi:heart-pulse"),
    }
    payload = {
        "device": {
            "identifiers": [f"edge_asd_{device}"],
            "name": machine,
            "manufacturer": "edge-asd",
            "model": "machine-sound monitor",
            "sw_version": __version__,
        },
        "origin": {"name": "edge-asd", "sw_version": __version__},
        "availability_topic": topics.availability,
        "payload_available": ONLINE,
        "payload_not_available": OFFLINE,
        "qos": 1,
        "components": components,
    }
    return f"{prefix}/device/edge_asd_{device}/config", json.dumps(payload, separators=(",", ":"))
