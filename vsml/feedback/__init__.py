"""Feedback and local plasticity: networks that learn without gradients, through feedback weights that are learned."""
