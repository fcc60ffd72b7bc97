"""The data that flows between stages, and the records that plugins declare.

Everything here is a frozen dataclass, a Protocol or a constant. Importing it imports no array library; arrays may
belong to any library, which their :class:`~allin1_core.contracts.space.Space` names.
"""
