"""Trained models.

``catalogue`` lists the models and ``find`` looks one up by name; ``store`` locates their files, ``check``
verifies them, ``download`` downloads them; ``load`` reads a model into memory. The folder ``builtin``
contains the files of the model that is included in the package.
"""
