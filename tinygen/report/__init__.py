"""What can be shown of a run."""
