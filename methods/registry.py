"""Name -> method. A new method is one file and one line here; one in another package needs no line here.

Such a package declares an entry point in the group `fewshot_bench.methods` whose name is the method's and
whose object is its class.
"""

from importlib.metadata import entry_points

from fewshot_bench.methods.interface import Method
from fewshot_bench.methods.maml import Maml
from fewshot_bench.methods.meta_transfer import MamlMetaTransfer, ReptileMetaTransfer
from fewshot_bench.methods.protonet import ProtoNet
from fewshot_bench.methods.reptile import Reptile
from fewshot_bench.methods.transfer import Transfer

METHODS: dict[str, type[Method]] = {
    "transfer": Transfer,
    "protonet": ProtoNet,
    "maml": Maml,
    "reptile": Reptile,
    "maml-mtl": MamlMetaTransfer,
    "reptile-mtl": ReptileMetaTransfer,
}


def method_names() -> list[str]:
    """The built-in methods, then those of other installed packages."""
    outside = {e.name for e in entry_points(group="fewshot_bench.methods")}
    return [*METHODS, *sorted(outside - METHODS.keys())]


def find_method(name: str) -> type[Method]:
    """The class of a known name. A built-in name cannot be taken by another package."""
    if name in METHODS:
        return METHODS[name]
    (entry,) = entry_points(group="fewshot_bench.methods", name=name)
    found: type[Method] = entry.load()
    return found
