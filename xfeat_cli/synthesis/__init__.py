"""Pairs of images made from single photographs, with exactly known correspondence: for training and for measuring."""
