"""Doing it: trainings and evaluations, the units of a run, worker processes, devices, checkpoints."""
