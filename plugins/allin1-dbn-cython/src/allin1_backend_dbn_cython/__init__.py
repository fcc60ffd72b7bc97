"""The compiled metre decoder of allin1: :mod:`.decoder`, registered by :mod:`.hooks`."""
