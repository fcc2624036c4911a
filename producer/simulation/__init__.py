"""Simulated observations of a network of stations: a seeded weather, faults with labels, and their publication."""
