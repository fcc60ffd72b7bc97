"""Trained models.

``catalogue`` says which there are and ``find`` which a name means; ``store`` knows where their files
lie, ``check`` whether they are whole, ``download`` how they get there; ``load`` reads a model into memory.
The folder ``builtin`` holds the files of the model that comes with the package.
"""
