"""From distances to a score and its threshold: rarity, aggregation over time, the tail of alarms, 0 to 100."""
