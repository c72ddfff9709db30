"""Learning rules: what the nodes of a group learn from what they see."""
