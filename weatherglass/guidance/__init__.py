"""Numerical weather prediction (NWP) as guidance: its error at stations is learned and corrected."""
