"""Ways out of the device: MQTT, webhook, Prometheus, a command. Each is off unless set; none delays listening."""
