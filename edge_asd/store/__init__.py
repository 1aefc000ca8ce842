"""What happened, kept on the device: events, scores per minute, clips of sound; within a quota, through power cuts."""
