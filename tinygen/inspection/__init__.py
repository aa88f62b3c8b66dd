"""What happens inside a model: where its time goes."""
