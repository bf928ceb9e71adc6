"""The real planner in simulated time: stories in, runs and their figures out."""
