"""Plan and make the requests for candidates: strategies, the planner, the pool of samples to show."""
