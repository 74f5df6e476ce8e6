"""How many requests are in flight, as a mean over each step of the autoscaler."""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from flash.autoscaler import STEP_S

__all__ = ["InFlight"]

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


class InFlight:
    """Steps from ``phase`` seconds on, until ``seconds``; the cell of one is the time since the
    step before it.

    A request adds 1 to all cells after that in which it begins, and to that one the part that was
    left of it; at its end it takes the same away. So requests can be added and taken away without a
    look at the others.
    """

    def __init__(self, phase: float, seconds: float) -> None:
        self.times: Array = np.arange(phase, seconds, STEP_S)
        """When the steps are."""
        self._phase = phase
        self._entered = np.zeros(len(self.times) + 1)
        self._partly = np.zeros(len(self.times) + 1)

    def copy(self) -> Self:
        """One with the same requests."""
        made = type(self).__new__(type(self))
        made.times, made._phase = self.times, self._phase
        made._entered, made._partly = self._entered.copy(), self._partly.copy()
        return made

    def cells(self, moments: Array) -> Indices:
        """The step at or after each moment; what is after the last one has one more."""
        cells = (np.floor((moments - self._phase) / STEP_S) + 1).astype(np.intp)
        return np.minimum(np.maximum(cells, 0), len(self.times))

    def add(self, begin: Array, end: Array) -> None:
        """Requests that are in flight from ``begin`` to ``end``."""
        self._book(begin, 1.0)
        self._book(end, -1.0)

    def remove(self, begin: Array, end: Array) -> None:
        """Take them away again."""
        self._book(begin, -1.0)
        self._book(end, 1.0)

    def means(self) -> Array:
        """Requests in flight in each cell, as a mean."""
        before = np.cumsum(self._entered) - self._entered
        return np.maximum(0.0, before + self._partly)[:-1]

    def _book(self, moments: Array, sign: float) -> None:
        cells, size = self.cells(moments), len(self._entered)
        left = cells - (moments - self._phase) / STEP_S
        self._entered += sign * np.bincount(cells, minlength=size)
        self._partly += sign * np.bincount(cells, weights=left, minlength=size)
