"""What the reports of published systems say, beside what the same recipes give here."""
