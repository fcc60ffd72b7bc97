"""Seeded random parameters of the network, for tests without trained weights."""

from __future__ import annotations

from allin1_core.measuring.random_weights import random_model as random_model
from allin1_core.measuring.random_weights import random_parameters as random_parameters
