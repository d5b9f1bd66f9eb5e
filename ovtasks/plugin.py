"""The public API for plugins. A source, backend or kind of operation in another package imports from here only.

The names stay here when their modules move. docs/plugins.md shows how to use them.
"""

from ovtasks.backends.contract import Backend, Capabilities, Handle, Recalled, Recalls, VmState, VmStatus
from ovtasks.errors import InputError, OvError, RefusedError
from ovtasks.graph.plugins import SourcePlugin
from ovtasks.graph.receipt import sha256_of
from ovtasks.graph.step import BuildOptions, Step, Workspace
from ovtasks.host.programs import Program
from ovtasks.host.run import run
from ovtasks.layers.context import LayerContext
from ovtasks.layers.fragments import file_upload, place, quoted, text_upload
from ovtasks.layers.kind import OperationKind
from ovtasks.layers.operation import Gate, Operation, Upload
from ovtasks.machine.machine import Machine
from ovtasks.project.layer_model import LayerSpec, LayerTask
from ovtasks.project.model import Project, VmSpec
from ovtasks.sources.disk import IMAGES, base_facts, disk_step
from ovtasks.sources.seed import key_step, seed_step
from ovtasks.values.hidden import Hidden
from ovtasks.values.option import Option

__all__ = [
    "SourcePlugin", "BuildOptions", "Option", "Program", "Project", "Step", "VmSpec", "Workspace",
    "IMAGES", "base_facts", "disk_step", "key_step", "seed_step", "sha256_of",
    "Backend", "Capabilities", "Handle", "Machine", "Recalled", "Recalls", "VmState", "VmStatus",
    "Gate", "LayerContext", "LayerSpec", "LayerTask", "Operation", "OperationKind", "Upload",
    "file_upload", "place", "quoted", "text_upload",
    "Hidden", "InputError", "OvError", "RefusedError", "run",
]  # fmt: skip
