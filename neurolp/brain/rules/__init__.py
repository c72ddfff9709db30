"""Learning rules: parameters of a group of nodes from what these nodes see."""
