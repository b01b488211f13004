"""`xfeat eval`: how accurate features, matches and reconstructions are, against known cameras."""

from __future__ import annotations

from xfeat_cli.cli.evaluate import (
    homography,
    localization,
    mirror,
    pairs,
    pose,
    pose_pairs,
    sfm,
    sift,
    uncertainty,
    warps,
)
from xfeat_cli.cli.help import App

app = App(no_args_is_help=True, help="Measure accuracy against known cameras.")
app.command("pose")(pose.pose)
app.command("sfm")(sfm.sfm)
app.command("sift")(sift.sift)
app.command("pairs")(pairs.pairs)
app.command("homography")(homography.homography)
app.command("hpatches")(homography.hpatches)
app.command("megadepth1500")(pose_pairs.megadepth1500)
app.command("scannet1500")(pose_pairs.scannet1500)
app.command("imc")(pose_pairs.imc)
app.command("localization")(localization.localization)
app.command("warps")(warps.warps)
app.command("mirror")(mirror.mirror)
app.command("uncertainty")(uncertainty.uncertainty)
