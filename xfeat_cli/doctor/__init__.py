"""What users of COLMAP and hloc lose days on, found in seconds, in the files of any tool.

findings  what is found: how bad, why, what to do
subject   the files given, opened once
features, matches, images, half_pixel, pair_lists, database, model: one file a kind of thing, `examine_…`
graph     which images hang together
examine   all of it
"""
