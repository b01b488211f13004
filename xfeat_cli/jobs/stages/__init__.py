"""The stages of a reconstruction, in their order. A new stage is a class and a row of `STAGES`."""

from xfeat_cli.jobs.stages.aggregation import Aggregation
from xfeat_cli.jobs.stages.base import Listeners, Stage, Workspace
from xfeat_cli.jobs.stages.extraction import Extraction
from xfeat_cli.jobs.stages.frames import Frames
from xfeat_cli.jobs.stages.importing import Import
from xfeat_cli.jobs.stages.mapping import Reconstruction
from xfeat_cli.jobs.stages.matching import Matching
from xfeat_cli.jobs.stages.pairs import Pairs
from xfeat_cli.jobs.stages.refinement import Refinement
from xfeat_cli.jobs.stages.verification import Verification

STAGES: tuple[Stage, ...] = (
    Frames(),
    Extraction(),
    Pairs(),
    Matching(),
    Aggregation(),
    Refinement(),
    Import(),
    Verification(),
    Reconstruction(),
)

__all__ = ["STAGES", "Listeners", "Stage", "Workspace"]
