"""How fast it is, beside the limit named. Medians, never a timed test."""
