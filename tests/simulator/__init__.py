"""The simulator: what it tells is what the planner does."""
