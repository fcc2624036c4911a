"""Training of the models: the plan, its steps (each a Ray task with its result on disk), and the registration."""
