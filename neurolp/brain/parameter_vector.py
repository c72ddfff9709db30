"""All parameters of a network as one unconstrained vector, for optimisers that know nothing else.

Order: for each distinct slice, for each group: weights, bias, gain weights, gain bias, offsets of
the node maps, logarithms of their slope coefficients. A step in the logarithm is a multiplicative
step in the slope, so slopes stay positive whatever the optimiser does; :meth:`ParameterVector.project`
keeps them in [1/10, 10], well inside the provable bounds. Weights on absent edges are left out.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from neurolp.brain.network import GroupUpdate, Network, Slice, distinct_slices
from neurolp.brain.replay import Gradient, GroupGradient

Array = npt.NDArray[Any]

LOG_SLOPE_MAX = float(np.log(10.0))


class ParameterVector:
    """Reads and writes the parameters of ``network``; the slices keep their groups and rotations.

    ``is_weight`` and ``is_slope`` tell which entries are weights (of shift or gain) and which are
    logarithms of slopes; both are boolean arrays of length ``size``.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        slices, self._which = distinct_slices(network)
        self._present = [[_present(network, g) for g in s.groups] for s in slices]
        weight, slope = [], []
        for slice_, masks in zip(slices, self._present, strict=True):
            for group, mask in zip(slice_.groups, masks, strict=True):
                parts = _parts(group, mask)
                lengths = [p.size for p in parts]
                weight.append(np.repeat([True, False, True, False, False, False], lengths))
                slope.append(np.repeat([False] * 5 + [True], lengths))
        self.is_weight = np.concatenate([np.zeros(0, bool), *weight])
        self.is_slope = np.concatenate([np.zeros(0, bool), *slope])
        self.size = len(self.is_weight)

    def read(self) -> Array:
        """The parameters as they are, shape (size,), float64."""
        slices, _ = distinct_slices(self.network)
        out = []
        for slice_, masks in zip(slices, self._present, strict=True):
            for group, mask in zip(slice_.groups, masks, strict=True):
                parts = _parts(group, mask)
                parts[5] = np.log(parts[5])
                out += [p.astype(np.float64).ravel() for p in parts]
        return np.concatenate([np.zeros(0), *out])

    def write(self, vector: Array) -> None:
        """Give the network these parameters: its slices are replaced, repeated ones stay repeated."""
        old, _ = distinct_slices(self.network)
        at = 0
        new = []
        for slice_, masks in zip(old, self._present, strict=True):
            groups = []
            for group, mask in zip(slice_.groups, masks, strict=True):
                taken = []
                for part in _parts(group, mask):
                    taken.append(vector[at : at + part.size].astype(self.network.dtype))
                    at += part.size
                groups.append(_rebuilt(group, mask, taken))
            new.append(Slice(tuple(groups), slice_.rotation))
        self.network.slices[:] = [new[k] for k in self._which]

    def pull_back(self, gradient: Gradient) -> Array:
        """The gradient with respect to the vector, at the parameters the network has."""
        slices, _ = distinct_slices(self.network)
        out = []
        for k, (slice_, masks) in enumerate(zip(slices, self._present, strict=True)):
            for g, (group, mask) in enumerate(zip(slice_.groups, masks, strict=True)):
                parts = _parts(gradient.groups[k][g], mask)
                parts[5] = parts[5] * group.node_map[:, 1:]  # dL/d log c = c dL/dc
                out += [p.ravel() for p in parts]
        return np.concatenate([np.zeros(0), *out])

    def project(self, vector: Array) -> None:
        """Keep the slopes within [1/10, 10], in place."""
        vector[self.is_slope] = np.clip(vector[self.is_slope], -LOG_SLOPE_MAX, LOG_SLOPE_MAX)


def _present(network: Network, group: GroupUpdate) -> Array | None:
    """Permitted edges (targets, sources) of a group with dense partial connectivity."""
    if network.connectivity.kind != "dense":
        return None
    return np.asarray(network.connectivity.matrix[np.ix_(group.targets, group.sources)])


def _parts(group: GroupUpdate | GroupGradient, mask: Array | None) -> list[Array]:
    """Weights, bias, gain weights, gain bias, offsets, slopes; absent edges left out."""
    return [
        _numbers(group.weights, mask),
        group.bias,
        _numbers(group.gain_weights, mask),
        group.gain_bias,
        group.node_map[:, 0],
        group.node_map[:, 1:],
    ]


def _numbers(weights: Any, mask: Array | None) -> Array:
    if weights is None:
        return np.zeros(0)
    if sparse.issparse(weights):
        return np.asarray(weights.data)
    if mask is None:
        return np.asarray(weights)
    return np.asarray(weights[_tiled(weights, mask)])


def _tiled(weights: Array, mask: Array) -> Array:
    return np.tile(mask, (1, weights.shape[1] // max(mask.shape[1], 1)))


def _rebuilt(group: GroupUpdate, mask: Array | None, parts: list[Array]) -> GroupUpdate:
    def filled(weights: Any, values: Array) -> Any:
        if weights is None:
            return None
        if sparse.issparse(weights):
            return sparse.csr_array((values, weights.indices, weights.indptr), weights.shape)
        if mask is None:
            return values.reshape(weights.shape)
        out = np.zeros_like(weights)
        out[_tiled(weights, mask)] = values
        return out

    weights, bias, gain_weights, gain_bias, offsets, slopes = parts
    shape = (len(group.targets), -1)
    return dataclasses.replace(
        group,
        weights=filled(group.weights, weights),
        bias=bias,
        gain_weights=filled(group.gain_weights, gain_weights),
        gain_bias=gain_bias,
        node_map=np.concatenate([offsets[:, None], np.exp(slopes).reshape(shape)], axis=1),
    )
