"""What a training hears: recordings or generated sound, sorted into classes, made more various, in batches."""
