"""What happens inside a model: what was computed from what, and where the time goes."""
