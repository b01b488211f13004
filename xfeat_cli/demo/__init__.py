"""A synthetic courtyard whose cameras and depths are exactly known, for demonstrations and tests.

`render_scene` writes it to a folder; `build_scene`, `arc` and `render_view` give single views in memory.
"""

from xfeat_cli.cameras import Camera, backproject, load_cameras, project, save_cameras
from xfeat_cli.demo.folder import DemoScene, build_scene, render_scene
from xfeat_cli.demo.render import render_view
from xfeat_cli.demo.scene import Scene
from xfeat_cli.demo.views import arc, look_at

__all__ = [
    "Camera",
    "DemoScene",
    "Scene",
    "arc",
    "backproject",
    "build_scene",
    "load_cameras",
    "look_at",
    "project",
    "render_scene",
    "render_view",
    "save_cameras",
]
