"""Numbers in, estimates and tests out; knows no cell and no table. Fractions in [0, 1] throughout."""
