"""Features and matches files. The one owner of h5py.

journal   a file whose content is always exactly that of a commit
layout    the format: kinds, datasets, limits
names     which two images an entry of a matches file belongs to
writer    Store: atomic commits, resume, provenance
reader    FeaturesReader, KeypointsReader, MatchesReader
"""
