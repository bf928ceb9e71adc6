"""The providers."""
