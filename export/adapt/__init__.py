"""An embedder adapted to machines at hand: fine-tuned on their normal sound, kept only where evidence supports it."""
