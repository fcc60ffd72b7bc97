"""The metre decoder of allin1, compiled. See ``hooks`` for what it registers, ``decoder`` for its use."""
