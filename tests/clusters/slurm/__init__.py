"""The parts of the Slurm provider."""
