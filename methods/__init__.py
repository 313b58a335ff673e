"""The science: one small file a method, on torch alone. A new method is a file and a line in METHODS."""

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
