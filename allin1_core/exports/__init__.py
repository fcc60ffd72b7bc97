"""Results in the formats of other programs; :mod:`allin1_core.exports.hooks` lists them."""
