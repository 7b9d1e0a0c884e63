"""Networks on the fields of structures, trained epoch by epoch on energies, forces or tensors.

Names to know: `Network` (settings), `fit_network`, `NetworkModel`, `FieldNetwork`.
Channels are learned mixtures of element and radial function; their invariants give energies of
atoms, and charges and dipoles that make the fields of the next round.
"""

from multilode.models.network.fit import fit_network, validation_set
from multilode.models.network.network import FieldNetwork, NetworkSize, TensorOutput
from multilode.models.network.network_committee import NetworkCommittee
from multilode.models.network.network_model import NetworkModel
from multilode.models.network.network_tensor import NetworkTensorModel
from multilode.models.network.probe import NetworkCost, probe_network
from multilode.models.network.settings import Network

__all__ = [
    "FieldNetwork",
    "Network",
    "NetworkCommittee",
    "NetworkCost",
    "NetworkModel",
    "NetworkSize",
    "NetworkTensorModel",
    "TensorOutput",
    "fit_network",
    "probe_network",
    "validation_set",
]
