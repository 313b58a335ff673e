"""What there is to do: names of trainings and cells, grids, plans, selections, the episode bank."""
